"""What a read would cost in calls, before anything is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil

from crmetrics.plugin import Estimate, SourceStorage
from crmetrics_hubspot.associations import FIELDS as ASSOCIATED
from crmetrics_hubspot.associations import LARGEST_READ
from crmetrics_hubspot.mapping import alternatives, fields_in
from crmetrics_hubspot.objects import PAGE, PAGE_WITH_HISTORY, SEARCH_PAGE
from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.streams import SPECIAL, Stream, streams_of

_UNKNOWN = 10_000  # records of a dataset that was never read
_CHANGED_SHARE = 0.02
_SET_UP = 2  # properties and pipelines, owners or the account
_MESSAGES_OF_A_THREAD = 5
_THREADS_PAGE = 500
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
    has_history = special is not None and special.incremental
    if streams or has_history:
        size = PAGE_WITH_HISTORY if has_history else PAGE
        kinds = max(1, len(streams))
        ties = sum(_ties(stream, columns) for stream in streams) / kinds
        changed = ceil(count * _CHANGED_SHARE) if is_incremental else 0
        read = changed if is_incremental else count
        calls = ceil(read / size) + ceil(read / LARGEST_READ * ties)
        # Lists are counted by a search, changes found by one; then the recycle bin.
        calls += max(1, ceil(changed / SEARCH_PAGE)) * kinds + kinds * (1 + _SET_UP)
        if "conversations" in config.case_messages_from and dataset == "case_messages":
            calls += _of_threads(rows, count)
        return Estimate(int(calls), _basis(rows, is_incremental, is_refresh, changed))
    if special is None:
        return None
    if dataset == "case_messages":
        return Estimate(_of_threads(rows, count), _basis(rows, False, False, 0))
    per_record = count if dataset == "marketing_spend" else 0
    return Estimate(ceil(count / PAGE) + per_record + 1, _basis(rows, False, False, 0))


def _of_threads(rows: int | None, messages: int) -> int:
    """The list of threads, and the messages of each at first, of those that changed later."""
    threads = ceil(messages / _MESSAGES_OF_A_THREAD)
    read = threads if rows is None else ceil(threads * _CHANGED_SHARE)
    return ceil(threads / _THREADS_PAGE) + read + 1


def is_walk_due(storage: SourceStorage, dataset: str, now: datetime, every: timedelta) -> bool:
    """Whether the next read of a dataset walks through all its records; so when it is not known."""
    last = storage.read(_WALKS).get(dataset)
    return last is None or now - datetime.fromisoformat(str(last)) >= every


def remember_walks(storage: SourceStorage, walked: Mapping[str, datetime]) -> None:
    """Keep when these datasets were walked through; estimates alone rest on it."""
    told = {name: at.isoformat() for name, at in walked.items()}
    storage.write(_WALKS, {**storage.read(_WALKS), **told})


def _ties(stream: Stream, columns: Sequence[str]) -> int:
    """How many kinds of associations the columns need."""
    found = {
        field
        for column, entry in stream.all_entries.items()
        if column in columns
        for field in fields_in(alternatives(entry)[0] if entry else "")
        if field in ASSOCIATED
    }
    return len(found)


def _basis(rows: int | None, is_incremental: bool, is_refresh: bool, changed: int) -> str:
    if rows is None:
        return f"never read; a guess of {_UNKNOWN:,} records by list"
    if is_refresh:
        return f"{rows:,} records by list; the walk through all that refresh_every asks for is due"
    if is_incremental:
        return f"about {changed:,} of {rows:,} records changed, by search"
    return f"{rows:,} records by list"
