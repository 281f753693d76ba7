"""The connector `hubspot`: an account's records through HubSpot's API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from crmetrics.plugin import (
    CheckResult,
    Connector,
    ConnectorContext,
    Estimate,
    ReadRequest,
    SourceError,
    SourceOptions,
    Supply,
    UnavailableError,
)
from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.streams import SPECIAL, STREAMS, streams_of

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from crmetrics_hubspot.account import Account
    from crmetrics_hubspot.api import HubSpotApi, Timing
    from crmetrics_hubspot.reading import DatasetRead


_MEANINGS = {
    "activities": ("automated_sources",),
    "campaign_members": ("email_event_days",),
    "case_messages": ("case_messages_from", "automated_sources"),
    "case_status_history": ("ticket_stages",),
    "contacts": ("test_email_domains",),
    "leads": ("leads_from", "lead_stages", "test_email_domains"),
    "marketing_spend": ("spend_dates",),
    "opportunities": ("default_close_date",),
    "subscriptions": ("subscriptions_from",),
    "survey_responses": ("surveys",),
    "users": ("test_email_domains",),
}
"""Dataset -> the options that say which records it has and what they mean."""

_RULES = {"opportunity_stage_history": 2, "case_status_history": 2}
"""How often the connector's own rules for a dataset have changed: it is read anew by them."""


class HubSpotConnector(Connector):
    """CRM objects, property history, associations, campaigns, owners and activity of one account.

    timing: clocks and dice for tests.
    """

    name: ClassVar[str] = "hubspot"
    Config: ClassVar[type[SourceOptions]] = HubSpotOptions

    config: HubSpotOptions

    def __init__(
        self,
        config: HubSpotOptions,
        context: ConnectorContext,
        *,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(config, context)
        self._timing = timing
        self._api: HubSpotApi | None = None
        self._reads: list[DatasetRead] = []

    # --- what there is ------------------------------------------------------------------------

    def datasets(self) -> Sequence[Supply]:
        """The datasets that HubSpot can supply with the columns that it can fill.

        An account may lack some: which, `check` and the notices of a read say.
        """
        names = [name for name in self.context.datasets if self._columns(name)]
        return [self._supply(name) for name in names]

    def _columns(self, name: str) -> set[str]:
        columns = set(self.config.own(name).columns)
        if self.config.own(name).object:
            return {*columns, "id", "is_deleted", "updated_at"}
        for stream in streams_of(name, self.config):
            columns |= set(stream.columns)
        if name in SPECIAL and not columns - set(self.config.own(name).columns):
            columns |= set(SPECIAL[name].columns)
        if name == "users" and self.config.test_email_domains:
            columns.add("is_test")
        known = name in STREAMS or name in SPECIAL
        return columns if known and not self.left_out(name) else set()

    def left_out(self, dataset: str) -> str:
        """Sends, when the log of e-mail events is not to be read; not a custom object's records."""
        is_log = dataset == "campaign_members" and not self.config.own(dataset).object
        return "`email_events: false`" if is_log and not self.config.email_events else ""

    def _supply(self, name: str) -> Supply:
        dataset = self.context.datasets[name]
        columns = self._columns(name)
        is_records = bool(streams_of(name, self.config))
        special = SPECIAL.get(name)
        is_log = name == "campaign_members" and not is_records
        return Supply(
            name,
            tuple(c for c in dataset.column_names if c in columns and c != "source"),
            incremental=is_records or (special is not None and special.incremental),
            deletes=is_records,
            selects_columns=is_records or name == "campaign_members",
            keeps=name == "user_activity",
            follows_days=self.config.email_event_days if is_log else None,
        )

    def check(self) -> Iterable[CheckResult]:
        """The account, one line per dataset, and what is left of the account's calls."""
        from crmetrics_hubspot.checking import AccountCheck

        supplies = {supply.dataset: supply for supply in self.datasets()}
        return AccountCheck(self.account, supplies).results()

    def estimate(
        self, dataset: str, columns: Sequence[str], *, rows: int | None, is_incremental: bool
    ) -> Estimate | None:
        """Calls by what is held of the dataset; the first read of one is a guess."""
        from crmetrics_hubspot.estimating import estimate, last_walk

        is_log = dataset == "campaign_members" and not streams_of(dataset, self.config)
        due = (
            is_incremental
            and not is_log
            and self.config.is_walk_due(last_walk(self.context.storage, dataset), self.timing.now())
        )
        return estimate(
            self.config,
            dataset,
            columns,
            rows=rows,
            is_incremental=is_incremental and not due,
            is_refresh=due,
        )

    def definition(self, dataset: str) -> str:
        own = self.config.own(dataset).model_dump(mode="json", exclude={"columns", "covers_from"})
        options = set(_MEANINGS.get(dataset, ()))
        rules = self.config.model_dump(mode="json", include=options)
        number = [_RULES[dataset]] if dataset in _RULES else []
        return json.dumps([own, rules, *number], sort_keys=True, default=str)

    # --- reading ------------------------------------------------------------------------------

    @cached_property
    def account(self) -> Account:
        """The account behind the API; connections are made on first use."""
        from crmetrics_hubspot.account import Account
        from crmetrics_hubspot.api import HubSpotApi

        self._api = HubSpotApi(self.config, self.timing, self.context.storage)
        return Account(self._api, self.config, self.context.storage)

    @property
    def timing(self) -> Timing:
        from crmetrics_hubspot.api import Timing

        if self._timing is None:
            self._timing = Timing()
        return self._timing

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """The records of one dataset: the changed ones after a first read, all at times.

        Raises UnavailableError when the token lacks its scope and nothing is loaded of it; what is
        loaded is not given up for a scope, so that is a SourceError.
        """
        from crmetrics_hubspot.api import MissingScopeError

        batches = self._read(request)
        try:
            first = next(batches, None)
        except MissingScopeError as exc:
            if _is_held(request) or not exc.scopes:
                raise
            raise UnavailableError(str(exc)) from exc
        if first is not None:
            yield first
            yield from batches

    def _read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        from crmetrics_hubspot.reading import DatasetRead

        name = request.dataset.name
        streams = streams_of(name, self.config)
        if not streams and name not in SPECIAL:
            raise SourceError(f"HubSpot holds no {name}.")
        read = DatasetRead(self.account, request, self.context.storage)
        self._reads.append(read)
        portal = self.account.portal
        named = None if portal is None else f"portal {portal}"
        is_ours = request.name_account(named, is_required=True) and portal is not None
        if streams:
            yield from read.records(streams)
        if self.config.own(name).object:
            pass  # the custom object holds all of the dataset
        elif name in ("opportunity_stage_history", "case_status_history"):
            yield from read.history()
        elif name == "case_messages" and "conversations" in self.config.case_messages_from:
            yield from read.conversations()
        elif name == "campaign_members":
            yield from read.sends()
        elif name in SPECIAL:
            yield from self._special(request, is_ours=is_ours)
        read.end()

    def _special(self, request: ReadRequest, *, is_ours: bool) -> Iterator[pa.RecordBatch]:
        """is_ours: what is loaded is known to be of this portal."""
        from crmetrics_hubspot import currencies, marketing, people

        match request.dataset.name:
            case "campaigns":
                yield from marketing.read_campaigns(self.account, request, is_ours=is_ours)
            case "marketing_spend":
                yield from marketing.read_spend(self.account, request)
            case "users":
                yield from people.read_users(self.account, request)
            case "user_activity":
                yield from people.read_activity(self.account, request)
            case "exchange_rates":
                yield from currencies.read_rates(self.account, request, self.context.currency)

    def close(self) -> None:
        """Release connections, and let go of the pages of what is loaded."""
        walked: dict[str, datetime] = {}
        for read in self._reads:
            walked |= read.let_go()
        if walked:
            from crmetrics_hubspot.estimating import remember_walks

            remember_walks(self.context.storage, walked)
        self._reads.clear()
        if self._api is not None:
            self._api.close()


def _is_held(request: ReadRequest) -> bool:
    """Whether earlier reads left anything, by whatever rules.

    Apart from its caller, whose frame an error would keep, and the open question with it.
    """
    key = next(name for name in request.dataset.key if name != "source")
    return any(batch.num_rows for batch in request.stored((key,), of=key, even_former=True))
