"""What a read would cost in calls, before anything is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil

from crmetrics.plugin import Estimate, SourceStorage
from crmetrics_hubspot import ending, touches
from crmetrics_hubspot.associations import FIELDS as ASSOCIATED
from crmetrics_hubspot.associations import LARGEST_READ
from crmetrics_hubspot.mapping import alternatives, fields_in
from crmetrics_hubspot.objects import PAGE, PAGE_WITH_HISTORY, SEARCH_PAGE
from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.streams import SPECIAL, Stream, streams_of

_UNKNOWN = 10_000  # records of a dataset that was never read
_CHANGED_SHARE = 0.02
_ENDED_SHARE = 0.3  # of subscriptions, that are over and have no end date: their history is read
_UNQUALIFIED_SHARE = 0.2  # of leads, likewise
_CAMPAIGNS = 50  # of an account
_SET_UP = 2  # properties and pipelines, owners or the account
_MESSAGES_OF_A_THREAD = 5
_THREADS_PAGE = 500
_LISTS_OF_EMAILS = 3  # those that are there, archived ones, and what the log knows
_LOG_PAGE = 1_000
_DAYS_HELD = 365  # of the log, in the warehouse
_EVENTS_PER_SEND = {"delivered_at": 1.0, "bounced_at": 0.02, "opened_at": 0.6, "clicked_at": 0.1,
                    "unsubscribed_at": 0.01, "complained_at": 0.01}  # fmt: skip
_WALKS = "walks"
"""The document that says when each dataset was last walked through."""


def estimate(
    config: HubSpotOptions,
    dataset: str,
    columns: Sequence[str],
    *,
    rows: int | None,
    is_incremental: bool,
    is_refresh: bool = False,
) -> Estimate | None:
    """Calls of a read by list, or of an incremental one by search; None = not supplied.

    is_refresh: what is held is walked through again, and what changed since is in that walk.
    """
    count = _UNKNOWN if rows is None else rows
    streams = streams_of(dataset, config)
    special = SPECIAL.get(dataset)
    has_history = special is not None and bool(special.kind)
    if streams or has_history:
        size = PAGE_WITH_HISTORY if has_history else PAGE
        kinds = max(1, len(streams))
        changed = ceil(count * _CHANGED_SHARE) if is_incremental else 0
        read = changed if is_incremental else count
        calls = ceil(read / size) + ceil(sum(_beside(s, columns, read / kinds) for s in streams))
        # Lists are counted by a search, changes found by one; then the recycle bin.
        calls += max(1, ceil(changed / SEARCH_PAGE)) * kinds + kinds * (1 + _SET_UP)
        if "conversations" in config.case_messages_from and dataset == "case_messages":
            calls += _of_threads(rows, count)
        return Estimate(int(calls), _basis(rows, is_incremental, is_refresh, changed))
    if special is None:
        return None
    if dataset == "case_messages":
        return Estimate(_of_threads(rows, count), _basis(rows, False, False, 0))
    if dataset == "campaign_members":
        return _of_sends(rows, columns, is_incremental, config.email_event_days)
    beside = count if dataset == "marketing_spend" else 0
    if dataset == "campaigns" and config.email_events:
        beside = _LISTS_OF_EMAILS
    return Estimate(ceil(count / PAGE) + beside + 1, _basis(rows, False, False, 0))


def _of_threads(rows: int | None, messages: int) -> int:
    """The list of threads, and the messages of each at first, of those that changed later."""
    threads = ceil(messages / _MESSAGES_OF_A_THREAD)
    read = threads if rows is None else ceil(threads * _CHANGED_SHARE)
    return ceil(threads / _THREADS_PAGE) + read + 1


def _of_sends(
    rows: int | None, columns: Sequence[str], is_incremental: bool, days: int
) -> Estimate:
    """Pages of each type of event that the columns need, and the contacts behind the addresses."""
    count = _UNKNOWN if rows is None else rows
    if is_incremental:
        count = min(count, ceil(count * days / _DAYS_HELD))
    wanted = {"clicked_at" if name == "responded_at" else name for name in columns}
    if "delivered_at" in wanted:
        wanted.add("bounced_at")
    shares = [_EVENTS_PER_SEND[name] for name in _EVENTS_PER_SEND if name in wanted]
    pages = sum(ceil(count * share / _LOG_PAGE) for share in (1.0, *shares))
    calls = pages + ceil(count / PAGE) + _LISTS_OF_EMAILS
    if rows is None:
        return Estimate(calls, f"never read; a guess of {_UNKNOWN:,} sends by the log")
    if is_incremental:
        return Estimate(calls, f"about {count:,} sends of the last {days} days, by the log")
    return Estimate(calls, f"{count:,} sends by the log")


def last_walk(storage: SourceStorage, dataset: str) -> datetime | None:
    """When a read of a dataset last walked through all its records; None when it is not known."""
    last = storage.read(_WALKS).get(dataset)
    return None if last is None else datetime.fromisoformat(str(last))


def remember_walks(storage: SourceStorage, walked: Mapping[str, datetime]) -> None:
    """Keep when these datasets were walked through; estimates alone rest on it."""
    told = {name: at.isoformat() for name, at in walked.items()}
    storage.write(_WALKS, {**storage.read(_WALKS), **told})


def _beside(stream: Stream, columns: Sequence[str], records: float) -> float:
    """Calls for what the columns need beside the records themselves."""
    fields = {
        field
        for column, entry in stream.all_entries.items()
        if column in columns or column in stream.requires
        for field in fields_in(alternatives(entry)[0] if entry else "")
    } | set(stream.requires)
    ties = records / LARGEST_READ
    calls = ties * len(fields & ASSOCIATED.keys())
    if "company_of_contact" in fields:
        calls += 2 * ties  # to the contacts, and from them to their companies
    if "owner_of_ticket" in fields:
        calls += records / PAGE
    if fields & {"company_of_deal", "deal_is_won"}:
        calls += 4 * ties + records / PAGE  # deals, their companies or contacts, and stages
    if touches.FIELD in fields:
        lists = _CAMPAIGNS + records / PAGE  # of contacts, one per campaign
        calls += lists + (0 if stream.kind == "contacts" else ties)
    if ending.FIELD in fields:
        calls += records * _ENDED_SHARE / PAGE_WITH_HISTORY
    if "unqualified_at" in fields:
        calls += records * _UNQUALIFIED_SHARE / PAGE_WITH_HISTORY
    return calls


def _basis(rows: int | None, is_incremental: bool, is_refresh: bool, changed: int) -> str:
    if rows is None:
        return f"never read; a guess of {_UNKNOWN:,} records by list"
    if is_refresh:
        return f"{rows:,} records by list; the walk through all that refresh_every asks for is due"
    if is_incremental:
        return f"about {changed:,} of {rows:,} records changed, by search"
    return f"{rows:,} records by list"
