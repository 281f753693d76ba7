"""What a read would cost in calls, before anything is called."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from crmetrics.plugin import Estimate
from crmetrics_hubspot.associations import FIELDS as ASSOCIATED
from crmetrics_hubspot.associations import LARGEST_READ
from crmetrics_hubspot.mapping import alternatives, fields_in
from crmetrics_hubspot.objects import PAGE, PAGE_WITH_HISTORY, SEARCH_PAGE
from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.streams import SPECIAL, Stream, streams_of

_UNKNOWN = 10_000  # records of a dataset that was never read
_CHANGED_SHARE = 0.02
_SET_UP = 2  # properties and pipelines, owners or the account


def estimate(
    config: HubSpotOptions,
    dataset: str,
    columns: Sequence[str],
    *,
    rows: int | None,
    is_incremental: bool,
) -> Estimate | None:
    """Calls of a first read by list, or of an incremental one by search; None = not supplied."""
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
        calls += ceil(changed / SEARCH_PAGE) + kinds * (1 + _SET_UP)
        return Estimate(int(calls), _basis(rows, is_incremental, changed))
    if special is None:
        return None
    per_record = dataset in ("marketing_spend", "case_messages")
    return Estimate(ceil(count / PAGE) + (count if per_record else 0) + 1, _basis(rows, False, 0))


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


def _basis(rows: int | None, is_incremental: bool, changed: int) -> str:
    if rows is None:
        return f"never read; a guess of {_UNKNOWN:,} records by list"
    if is_incremental:
        return f"about {changed:,} of {rows:,} records changed, by search"
    return f"{rows:,} records by list"
