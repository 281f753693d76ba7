"""Campaigns and what was spent on them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from crmetrics.plugin import ReadRequest, SourceError
from crmetrics.plugin import UnavailableError as DatasetUnavailableError
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.api import MissingScopeError, UnavailableError, without_trace
from crmetrics_hubspot.mailings import OWN, Mailing
from crmetrics_hubspot.privacy import Asked, is_personal
from crmetrics_hubspot.tables import batches_of
from crmetrics_hubspot.values import INSTANT, MONEY

_PAGE = 100
READABLE = frozenset(
    {"hs_name", "hs_start_date", "hs_end_date", "hs_campaign_status", "hs_goal", "hs_owner",
     "hs_currency_code", "hs_utm", "hs_audience", "hs_notes", "hs_color_hex",
     "hs_created_by_user_id", "hs_object_id", "hs_budget_items_sum_amount",
     "hs_spend_items_sum_amount"}
)  # fmt: skip
"""Standard properties of campaigns that HubSpot lets one ask for; any other `hs_` is an error,
although the list of properties names it."""

_OWN = ("hs_name", "hs_start_date", "hs_end_date", "hs_currency_code",
        "hs_budget_items_sum_amount")  # fmt: skip


def read_campaigns(account: Account, request: ReadRequest, *, is_ours: bool) -> Iterator[Any]:
    """All campaigns: budget and dates come with the list, no call per campaign is needed.

    is_ours: what is loaded is known to be of this account.
    """
    keeps = is_ours or not request.begins_anew
    allowed = Asked(request, "campaigns", partial(is_personal, "campaigns", {}))
    asked = tuple(name for name in allowed.fields if name not in _ROW)
    forbidden = [name for name in asked if name.startswith("hs_") and name not in READABLE]
    if forbidden:
        raise SourceError(
            f"campaigns: HubSpot does not give {', '.join(forbidden)} of campaigns; it gives "
            f"{', '.join(sorted(READABLE))} and the account's own properties."
        )
    try:
        campaigns = _begun(_campaigns(account, asked))
    except (MissingScopeError, UnavailableError) as exc:
        yield from _without_campaigns(account, request, asked, allowed, exc, keeps=keeps)
    else:
        rows = (_campaign(item, asked, account.currency) for item in campaigns)
        yield from batches_of(request, rows, _TYPES, allowed.columns)
        yield from _of_emails(account, request, asked, allowed.columns, keeps=keeps)
    allowed.tell()


def _begun(items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same items, the first of them read: a list that is refused is refused here."""
    return chain(list(islice(items, 1)), items)


def _without_campaigns(
    account: Account,
    request: ReadRequest,
    asked: tuple[str, ...],
    allowed: Asked,
    refusal: SourceError,
    *,
    keeps: bool,
) -> Iterator[Any]:
    """E-mails alone, where HubSpot refuses its campaigns: without the columns that only campaigns
    fill, so that the KPIs on those say what is missing.

    Raises SourceError when what is loaded would go. With everything read again (`sync --full`) that
    is accepted; where there is no e-mail either, all of it leaves by UnavailableError, and when
    nothing is loaded the refusal stands.
    """
    has_emails = gives_emails(account)
    if _holds(request, emails_too=not has_emails):
        lost = (
            f"{without_trace(refusal)} Campaigns could be read before; they stay as they are. Give "
            "the token access again, or accept the loss with `crmetrics sync --full`."
        )
        if not request.begins_anew:
            raise SourceError(lost) from refusal
        if not has_emails:
            raise DatasetUnavailableError(lost) from refusal
    elif not has_emails:
        raise refusal
    columns = columns_of_emails(allowed.columns, request.mapping)
    request.notice(f"campaigns: {NO_CAMPAIGNS} {refusal}")
    yield from _of_emails(account, request, asked, columns, keeps=keeps)


def gives_emails(account: Account) -> bool:
    """Whether there are e-mails that are campaigns themselves, and they may be read."""
    if not account.config.email_events:
        return False
    try:
        return any(mailing.is_campaign for mailing in account.mailings)
    except (MissingScopeError, UnavailableError):
        return False


def columns_of_emails(columns: Sequence[str], mapped: Container[str]) -> tuple[str, ...]:
    """Those of the columns that an e-mail fills: none that the project file fills from campaigns,
    but for the channel, which is e-mail."""
    return tuple(
        name
        for name in columns
        if name in _EMAIL_COLUMNS and (name not in mapped or name == "channel")
    )


def _holds(request: ReadRequest, *, emails_too: bool) -> bool:
    """Whether earlier reads left campaigns, by whatever rules; emails_too: e-mails among them."""
    return any(
        emails_too or not str(name).startswith(OWN)
        for batch in request.stored(("id",), even_former=True)
        for name in batch.column(0).to_pylist()
    )


def _of_emails(
    account: Account,
    request: ReadRequest,
    asked: tuple[str, ...],
    columns: Sequence[str],
    *,
    keeps: bool,
) -> Iterator[Any]:
    """The e-mails that are campaigns themselves, as these columns. Their sends stay whatever
    becomes of the lists of e-mails, and so do they, after `sync --full` too; keeps: unless what is
    stored may be another account's."""
    if not account.config.email_events:
        return
    found = _mailings(account, request)
    mailings = found or ()
    own = (_own_campaign(mailing, asked) for mailing in mailings if mailing.is_campaign)
    for batch in batches_of(request, own, _TYPES, columns):
        yield _by_email(batch)
    if keeps and (found is None or not account.log_types.are_listed):
        kept = _as_stored(request, mailings, asked)
        for batch in batches_of(request, kept, _TYPES, columns):
            yield _by_email(batch)


def _as_stored(
    request: ReadRequest, mailings: Sequence[Mailing], asked: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """E-mails of earlier reads that are campaigns and not among these; by the rules of today, as
    HubSpot would give them."""
    told = {name for mailing in mailings for name in (mailing.campaign, *_own_names(mailing))}
    empty = dict.fromkeys((*_ROW, *asked))
    for batch in request.stored(_STORED_OF_EMAILS, even_former=True):
        for row in batch.to_pylist():
            if str(row["id"]).startswith(OWN) and row["id"] not in told:
                yield {**empty, **row}


def _own_names(mailing: Mailing) -> Iterator[str]:
    """The campaigns that it would be if nobody listed it."""
    return (f"{OWN}{name}" for name in mailing.log_ids)


_ROW = ("id", "updated_at", "name", "channel", "start_date", "end_date", "budgeted_cost",
        "currency")  # fmt: skip
_TYPES = {"budgeted_cost": MONEY}
_STORED_OF_EMAILS = ("id", "updated_at", "name", "start_date")
_EMAIL_COLUMNS = (*_STORED_OF_EMAILS, "channel")
"""What an e-mail that is a campaign itself says."""
NO_CAMPAIGNS = (
    "only marketing e-mails of no campaign are among them; names, days and budgets of campaigns "
    "are missing. HubSpot has campaigns in Marketing Hub Professional and above."
)
NO_EMAILS = "marketing e-mails are not among them, but for those that were read before."


def _mailings(account: Account, request: ReadRequest) -> Sequence[Mailing] | None:
    """Marketing e-mails; None where they are, with a notice, out of reach."""
    try:
        return account.mailings
    except (MissingScopeError, UnavailableError) as exc:
        request.notice(
            f"campaigns: {NO_EMAILS} {exc} `email_events: false` leaves them out for good."
        )
        return None


def _own_campaign(mailing: Mailing, asked: tuple[str, ...]) -> dict[str, Any]:
    """An e-mail that belongs to no marketing campaign is one itself; it has no cost."""
    row = dict.fromkeys((*_ROW, *asked))
    day = mailing.published and mailing.published[:10]
    own = {"id": mailing.campaign, "updated_at": mailing.updated_at, "name": mailing.name,
           "start_date": day}  # fmt: skip
    return {**row, **own}


def _by_email(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The channel of e-mails is e-mail, whatever property holds that of campaigns."""
    if "channel" not in batch.schema.names:
        return batch
    column: Any = pa.repeat(pa.scalar("email"), batch.num_rows)
    return batch.set_column(batch.schema.get_field_index("channel"), "channel", column)


def _campaigns(account: Account, asked: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    names = ",".join(dict.fromkeys((*_OWN, *asked)))
    params = {"limit": str(_PAGE), "properties": names}
    return account.api.items("campaigns", params=params)


def _campaign(item: Mapping[str, Any], asked: tuple[str, ...], currency: str) -> dict[str, Any]:
    own = item.get("properties") or {}
    return {
        "id": str(item["id"]),
        "updated_at": item.get("updatedAt"),
        "name": own.get("hs_name"),
        "channel": None,
        "start_date": own.get("hs_start_date"),
        "end_date": own.get("hs_end_date"),
        "budgeted_cost": own.get("hs_budget_items_sum_amount"),
        "currency": own.get("hs_currency_code") or currency,
        **{name: own.get(name) for name in asked},
    }


def read_spend(account: Account, request: ReadRequest) -> Iterator[Any]:
    """The spend items of all campaigns: one call per campaign that has any.

    With `spend_dates: campaign` a campaign's items are one amount without a day, which the engine
    spreads over the campaign.
    """
    is_spread = account.config.spend_dates == "campaign"

    def rows() -> Iterator[dict[str, Any]]:
        for campaign in _campaigns(account, ("hs_spend_items_sum_amount",)):
            total = (campaign.get("properties") or {}).get("hs_spend_items_sum_amount")
            if total in ("0", "0.0"):
                continue
            name = str(campaign["id"])
            totals = account.api.json("campaigns", name, "budget", "totals")
            items = totals.get("spendItems") or ()
            currency = totals.get("currencyCode") or account.currency
            if is_spread and items:
                yield _spread(name, totals, currency, campaign.get("updatedAt"))
            elif not is_spread:
                yield from (_item(name, item, currency) for item in items)

    # The day of an entry is one of the reporting zone.
    yield from batches_of(request, rows(), {"amount": MONEY, "spend_date": INSTANT})


def _item(campaign: str, item: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """One spend item; its instants are milliseconds."""
    entered = item.get("createdAt")
    return {
        "id": f"{campaign}-{item['id']}",
        "updated_at": item.get("updatedAt") or entered,
        "spend_date": entered,
        "campaign_id": campaign,
        "channel": None,  # the campaign's own counts
        "amount": item.get("amount"),
        "currency": currency,
    }


def _spread(
    campaign: str, totals: Mapping[str, Any], currency: str, changed: str | None
) -> dict[str, Any]:
    return {
        "id": campaign,
        "updated_at": changed,
        "spend_date": None,
        "campaign_id": campaign,
        "channel": None,
        "amount": totals.get("spendTotal"),
        "currency": currency,
    }
