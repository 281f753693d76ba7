"""One read of one dataset: its windows, its rows, what is told and kept beside them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from crmetrics.plugin import ReadRequest, SourceError, UnavailableError
from crmetrics_salesforce.applying import Applying
from crmetrics_salesforce.catalog import WHOLE, Catalog
from crmetrics_salesforce.currency import Amounts
from crmetrics_salesforce.gathering import Gathering, Span, companion_query
from crmetrics_salesforce.given import Given
from crmetrics_salesforce.lookups import Lookups
from crmetrics_salesforce.reach import Reach
from crmetrics_salesforce.removals import Removals
from crmetrics_salesforce.rules import RULES
from crmetrics_salesforce.soql import Query, Window, conjunct, has_subquery
from crmetrics_salesforce.streams import ORG_CURRENCY
from crmetrics_salesforce.transport import Transport
from crmetrics_salesforce.unseen import Unseen, stood_in

if TYPE_CHECKING:
    import pyarrow as pa

_YOUNG = timedelta(hours=6)
"""Values that change without a stamp may be so old when a job of an earlier run gives them."""

_TICK = timedelta(seconds=1)
"""The org tells whole seconds."""


class DatasetRead:
    """Reads a dataset for a request of the engine."""

    def __init__(
        self, catalog: Catalog, transport: Transport, lookups: Lookups, request: ReadRequest
    ) -> None:
        self._catalog = catalog
        self._transport = transport
        self._lookups = lookups
        self._request = request
        self._survey = catalog.surveyed(request)
        self._stood_in = stood_in(request, self._survey, catalog.streams(request.dataset.name))
        if self._stood_in:
            self._survey = catalog.surveyed(request, list(self._stood_in))
        self.reaches = self._survey.reaches
        own = catalog.dataset_options(request.dataset.name)
        self._rules = Applying(own, self._survey)
        self._given = Given(catalog, request, self._survey)
        self._amounts = Amounts(
            catalog.currencies, request, self.reaches, catalog.context.currency,
            catalog.options.domain,
        )  # fmt: skip
        self._unseen = Unseen(request, self._rules, self.reaches)
        self.span = self._span()
        self._came: list[pa.Array[Any]] = []
        self._limit_resuming()

    # --- planning -----------------------------------------------------------------------

    def queries(self) -> list[Query]:
        """The queries of the main objects, to be asked for side by side; none of those that the
        read refuses."""
        return [] if any(self._misfits()) else [self._main(reach) for reach in self.reaches]

    def _misfits(self) -> Iterator[str]:
        """Why conditions of the project file cannot be asked for."""
        marked = set(self._request.columns) - set(self._request.mapping)
        for key in ("where", *(column for column in RULES if column in marked)):
            yield from filter(None, (self._rules.misfit(key, reach) for reach in self.reaches))

    def _span(self) -> Span:
        request = self._request
        if request.since is None or request.is_full:
            return Span(None, request.until)
        if self._is_stale() or self._given.gained() or self._redefined() or self._amounts.differs:
            return Span(None, None, is_refresh=True)
        return Span(request.since, request.until)

    def _limit_resuming(self) -> None:
        for reach in self.reaches:
            if self._request.is_full:
                self._transport.resume_within(reach.stream.object, None)
            elif self.span.since is None and (
                reach.stale or reach.stale_conditions or reach.stream.is_renewed
            ):
                age = min(_YOUNG, self._catalog.options.refresh_formulas)
                self._transport.resume_within(reach.stream.object, age)

    @property
    def _stale_fields(self) -> list[str]:
        return sorted(
            {
                f"{reach.stream.object}.{name}"
                for reach in self.reaches
                for name in (*reach.stale, *reach.stale_conditions)
            }
        )

    @property
    def _ages(self) -> bool:
        """Whether changes are not all that tells what rows of earlier reads have become."""
        return bool(self._stale_fields) or any(r.stream.is_renewed for r in self.reaches)

    def _tell_misfits(self) -> None:
        objects = {r.stream.object for r in self.reaches}
        objects |= {c.object for r in self.reaches for c in r.companions}
        for (name, field), (kind, example) in self._transport.misfits.fields.items():
            if name in objects:
                self._request.notice(
                    f"{name}.{field} is declared as {kind} and holds other values, such as "
                    f"{example!r}: they are read as texts. Correct the type of the field."
                )

    def _tell_refusals(self) -> None:
        for name in sorted({reach.stream.object for reach in self.reaches}):
            if why := self._transport.switched_off(name):
                self._request.notice(
                    f"{name} is read by queries, because bulk jobs are refused: {why} Let the "
                    "user run Bulk API 2.0 jobs, or set transport: auto or rest."
                )

    @cached_property
    def _meanings(self) -> dict[str, str]:
        """Small object that rows take the meaning of their values from -> its fingerprint; "" for
        one that cannot be read."""
        return {
            companion.object: self._lookups.fingerprint(
                companion_query(companion, types), self._request.started
            )
            if types
            else ""
            for reach in self.reaches
            for companion, types in reach.companions.items()
            if not companion.link
        }

    def _redefined(self) -> list[str]:
        """Small objects that are not as the last read found them: what they say holds for all
        rows, also for those that did not change themselves."""
        if not self._given.before:
            return []
        before = dict(self._request.state.get("meanings") or {})
        return [name for name, found in self._meanings.items() if before.get(name) != found]

    def _refreshed_at(self) -> datetime | None:
        text = self._request.state.get("refreshed_at")
        return datetime.fromisoformat(str(text)) if text else None

    def _is_stale(self) -> bool:
        if not self._ages:
            return False
        at = self._refreshed_at()
        # A twentieth less counts as well: no two nights begin at the same second.
        every = self._catalog.options.refresh_formulas * 0.95
        return at is None or self._request.started - at >= every

    def _main(self, reach: Reach) -> Query:
        window = None
        if reach.cursor:
            window = Window(reach.cursor, self.span.since, self.span.until)
        return Query(reach.stream.object, reach.types, self._conditions(reach), window)

    def _conditions(self, reach: Reach) -> tuple[str, ...]:
        found = [reach.stream.where] if reach.stream.where else []
        if own := self._rules.of("where", reach):
            found.append(conjunct(own))
        return tuple(found)

    # --- reading ------------------------------------------------------------------------

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows with their canonical columns.

        Raises UnavailableError when the org lacks the dataset, SourceError when it cannot be read
        whole, when the org lacks an object that the project file names, or when a column that was
        read before has disappeared.
        """
        if not self.reaches:
            if unknown := self._catalog.unknown_object(self._request.dataset.name):
                raise SourceError(unknown)
            raise UnavailableError(self._survey.why_absent + self._given.way_without)
        self._require_clock()
        is_same_org = self._is_same_org()
        if is_same_org:
            self._given.require_former()
        for misfit in self._misfits():
            raise SourceError(misfit)
        removals = self._removals
        self._tell()
        self._settle_unseen(is_same_org=is_same_org)
        for reach in self.reaches:
            yield from self._rows(reach)
        self._tell_misfits()
        self._tell_refusals()
        self._tell_gone(removals)
        self._save(removals)

    def _require_clock(self) -> None:
        """The next read asks for what changed since the begin of this one, by our clock.

        Raises SourceError when that shows a time that the org has not reached yet, by more than the
        next read reaches back: what changes until then would never be read.
        """
        options, began = self._catalog.options, self._request.started
        answered = self._catalog.api.first_answer_at
        if answered is None or self._request.dataset.name in WHOLE:
            return
        if began - answered > options.overlap + options.hold_back + _TICK:
            raise SourceError(
                f"the clock of this machine is ahead: it showed {_stamp(began)} before Salesforce "
                f"answered at {_stamp(answered)}. What changes in between would never be read. Set "
                "the clock; nothing was read."
            )

    @cached_property
    def _removals(self) -> Removals:
        return Removals(self._catalog.api, self._transport, self._request)

    @cached_property
    def _gathering(self) -> Gathering:
        return Gathering(
            self._catalog, self._transport, self._lookups, self._request, self._given,
            self._removals, self._unseen, self.span, self._conditions,
        )  # fmt: skip

    @cached_property
    def _shows_who_left(self) -> bool:
        """Whether what does not come is gone: everything is asked for, and none of it is what the
        org forgets or the history of other records."""
        dataset = self._request.dataset
        return (
            self.span.is_refresh
            and not any(r.stream.forgets or r.stream.belongs_to for r in self.reaches)
            and dataset.key == ("id",)
            and "is_deleted" in dataset
        )

    def _tell_gone(self, removals: Removals) -> None:
        """Records of earlier reads that are there no more, or are not shown to the user."""
        import pyarrow as pa

        reaches = list(self.reaches)
        if self._request.since is None or self._request.is_full:
            removals.skip(reaches)
            return
        # A job of an earlier run tells who was there then.
        is_past = any(reach.stream.object in self._transport.resumed for reach in reaches)
        is_renewed = any(reach.stream.is_renewed for reach in reaches)
        if self._shows_who_left and (is_renewed or not is_past):
            removals.tell(reaches, came=[pa.array([], pa.string()), *self._came])
            return
        removals.tell(reaches)
        self._tell_leavers()

    def _tell_leavers(self) -> None:
        """Records that changed so that they no longer meet the conditions of their dataset: no
        query for changes shows them, and nothing deleted them."""
        import pyarrow as pa

        for reach in self.reaches:
            conditions = self._conditions(reach)
            if not conditions or not reach.cursor or reach.stream.relation:
                continue
            if any(has_subquery(condition) for condition in conditions):
                continue  # Salesforce takes no NOT before these: who left shows when all is read
            since = self._request.since
            if self.span.is_refresh and reach.stale_conditions:
                since = None  # nothing else tells what became of records that did not change
            window = Window(reach.cursor, since, self._request.until)
            left = f"(NOT ({' AND '.join(conditions)}))"
            query = Query(reach.stream.object, {"Id": pa.string()}, (left,), window)
            for batch in self._transport.batches(query, self._request.started):
                self._request.delete([str(name) for name in batch.column("Id").to_pylist()])

    def _rows(self, reach: Reach) -> Iterator[pa.RecordBatch]:
        raw = self._plain(reach)
        if reach.is_assembled:
            raw = self._gathering.rows(reach, raw)
        present = f"timestamptz '{self._request.started.astimezone(UTC).isoformat()}'"
        entries = {
            column: text.replace("now()", present).replace(ORG_CURRENCY, self._amounts.literal)
            for column, text in reach.entries.items()
        }
        if reach.cursor and "updated_at" in self._request.columns:
            entries.setdefault("updated_at", reach.cursor)
        mapped = [c for c in self._request.mapping if c not in reach.missing]
        columns = [c for c in self._request.columns if c in entries or c in mapped]
        for batch in raw:
            rows = self._request.derive(batch, entries, columns)
            if self._shows_who_left:
                self._came.append(rows.column("id"))
            yield rows

    def _plain(self, reach: Reach) -> Iterator[pa.RecordBatch]:
        main, ripens = self._main(reach), reach.stream.ripens
        yield from self._transport.batches(main, self._request.started)
        if ripens in reach.types and self.span.since is not None:
            passed = Window(ripens, self.span.since, self._request.started)
            yield from self._transport.batches(main.over(passed), self._request.started)

    def _is_same_org(self) -> bool:
        """Name the org whose records these are; whether what is loaded came from it."""
        org = self._catalog.api.org
        if org:
            return self._request.name_account(f"org {org}", at=self._catalog.options.domain)
        self._request.name_account(None)
        return self._request.state.get("org") in (None, self._catalog.options.domain)

    # --- what is told beside ------------------------------------------------------------

    def _tell(self) -> None:
        for notice in (*self._rules.unused(), *self._amounts.notices()):
            self._request.notice(notice)
        known = () if self._request.is_full else self._request.state.get("lacks") or ()
        for notice in self._lacks:
            if notice not in known:
                self._request.notice(notice)
        if self._request.since is None:
            return
        if self.span.is_refresh and (gained := self._given.gained()):
            shown = ", ".join(gained[:5])
            self._request.notice(f"read whole, because {shown} could not be read before.")
        if self.span.is_refresh and (redefined := self._redefined()):
            self._request.notice(
                f"read whole, because {', '.join(redefined)} changed since the last read: it says "
                "what values of rows mean that did not change themselves."
            )
        if not self._stale_fields:
            return
        shown = ", ".join(self._stale_fields[:5])
        if self.span.is_refresh:
            self._request.notice(f"read whole, because {shown} change without a trace.")
        else:
            at = self._refreshed_at() or self._request.started
            age = self._request.started - at
            self._request.notice(
                f"values of {shown} are up to {_shown(age)} old: they change without a trace, and "
                f"are read anew every {_shown(self._catalog.options.refresh_formulas)}."
            )

    @cached_property
    def _lacks(self) -> list[str]:
        """What the org does not give: told when that is new, by `check` always."""
        found = []
        for reach in self.reaches:
            for column, why in reach.missing.items():
                found.append(f"{column} cannot be read: {why}.")
            for lack, columns in reach.substituted().items():
                told = f"{', '.join(columns)} of {reach.stream.object}"
                found.append(f"other fields than usual fill {told}: {lack}.")
        replaced = {reach.stream.instead_of for reach in self.reaches}
        for item in self._survey.absent:
            name = item.stream.object
            if name not in replaced and not item.stream.instead_of:
                found.append(f"{name} gives nothing to it: {item.lack}.")
        for name, substitute in self._stood_in.items():
            found.append(
                f"{name} can be read now, and {substitute} is still read in its place: its rows "
                "of earlier days, which the org shows no longer, would leave for good. Change over "
                "with `crmetrics sync --full`; a copy of the warehouse file keeps them."
            )
        return found

    def _settle_unseen(self, *, is_same_org: bool) -> None:
        """Whether rows of earlier reads that this one does not give stay."""
        if displaced := self._given.displaced:
            now = ", ".join(self._given.now)
            self._request.notice(f"rows of {', '.join(displaced)} leave: {now} takes their place.")
            self._request.drop_unseen()
            return
        is_kept = is_same_org and self._unseen.keep()
        if self._request.dataset.name in WHOLE and not is_kept:
            self._request.drop_unseen()

    def _save(self, removals: Removals) -> None:
        state = dict(self._request.state)
        state["given"] = self._given.now
        state["meanings"] = self._meanings
        state["org"] = self._catalog.options.domain
        state["currency"] = self._amounts.code
        state["rules"] = self._unseen.rules
        state["lacks"] = self._lacks
        # Who is inactive, and since when; who is back is forgotten.
        left = {**dict(state.get("left") or {}), **self._gathering.left}
        state["left"] = {name: at for name, at in left.items() if at is not None}
        state["logged"] = {**dict(state.get("logged") or {}), **removals.logged}
        if self._ages:
            at = self._read_at() if self.span.since is None else self._refreshed_at()
            state["refreshed_at"] = (at or self._request.started).astimezone(UTC).isoformat()
        self._request.save_state(state)

    def _read_at(self) -> datetime:
        """As of when the values of this read are: a job of an earlier run is as old as its
        begin."""
        resumed = self._transport.resumed
        began = (resumed.get(reach.stream.object) for reach in self.reaches)
        return min([self._request.started, *(at for at in began if at is not None)])


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _shown(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours:.0f} h" if hours >= 1 else f"{span.total_seconds() / 60:.0f} min"
