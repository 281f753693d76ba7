"""Property history as spans: the way of a deal through its stages, of a ticket through its states.

HubSpot keeps the former values of each property by itself; a span lasts from one change of any of
the followed properties to the next. Of each property it gives only the newest versions: before the
oldest of them its value is not known, and spans that were read earlier stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pyarrow as pa

from crmetrics.plugin import ReadRequest
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.pipelines import Pipelines
from crmetrics_hubspot.values import INSTANT, MONEY, Misfits, instant_of, typed

FOLLOWED: Mapping[str, tuple[str, ...]] = {
    "deals": ("dealstage", "amount", "closedate"),
    "tickets": ("hs_pipeline_stage",),
}
"""The properties whose history KPIs read. All of them whatever columns are wanted: each change
of one begins a span, and the spans of a record must not depend on who asks."""

FLAGS: Mapping[str, tuple[str, ...]] = {
    "deals": ("hs_is_closed", "hs_is_closed_won"),
    "tickets": ("hs_is_closed", "closed_date"),
}
"""What HubSpot says of a record as it is now, for a stage that was deleted."""

_ROWS = 5_000
_MOST_VERSIONS = 20  # that HubSpot gives of a property


@dataclass(frozen=True, slots=True)
class Span:
    """The values of the followed properties from `start` to `end` (None = until now)."""

    start: str
    end: str | None
    values: Mapping[str, str]


def spans(history: Mapping[str, list[Mapping[str, Any]]], leading: str) -> list[Span]:
    """The spans of a record, in order of time.

    history: property -> versions, newest first. The spans begin with the first value of the
    property `leading`. All that changed at one instant makes one span, but for several values of
    `leading`, each of which makes its own. A version that repeats the value before it begins a span
    too: where spans begin must not depend on versions that HubSpot may give no longer.
    """
    changes = [
        (at, place, name, str(version.get("value") or ""))
        for name, versions in history.items()
        for place, version in enumerate(reversed(versions or []))
        if (at := _normal(version))
    ]
    changes.sort(key=lambda change: change[:2])
    found: list[tuple[str, dict[str, str]]] = []
    values: dict[str, str] = {}
    for instant, group in groupby(changes, key=lambda change: change[0]):
        at_once = list(group)
        values |= {name: value for _, _, name, value in at_once if name != leading}
        # A stage that was cleared leaves the record where it was.
        stages = [value for _, _, name, value in at_once if name == leading and value]
        for stage in stages or [values.get(leading, "")]:
            values[leading] = stage
            if stage:
                found.append((instant, dict(values)))
    ends: list[str | None] = [*(start for start, _ in found[1:]), None]
    return [Span(start, ends[place], v) for place, (start, v) in enumerate(found)]


def known_from(history: Mapping[str, list[Mapping[str, Any]]]) -> str:
    """Since when all values are known: the oldest version of a property that may have had more.

    Empty when no property has as many versions as HubSpot gives at most.
    """
    full = [versions for versions in history.values() if len(versions or ()) >= _MOST_VERSIONS]
    return max((min(filter(None, map(_normal, each)), default="") for each in full), default="")


def _normal(version: Mapping[str, Any]) -> str:
    """The instant of a version as it sorts as text: milliseconds always written; empty without."""
    instant = instant_of(version.get("timestamp"))
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z") if instant else ""


# --- rows -----------------------------------------------------------------------------------

Row = dict[str, Any]
Rows = Callable[[Mapping[str, Any], list[Span]], Iterator[Row]]


class HistoryReader:
    """Turns pages of records with history into batches of spans.

    rows: the rows of one record. types: columns of a row that are no plain text. owner: the column
    with the record. seen: the ids of the records so far.
    """

    def __init__(
        self,
        request: ReadRequest,
        leading: str,
        rows: Rows,
        types: Mapping[str, pa.DataType],
        owner: str,
    ) -> None:
        self._request, self._leading, self._rows = request, leading, rows
        self._types, self.owner = dict(types), owner
        self.seen: list[pa.Array[Any]] = []
        self._misfits = Misfits(request.dataset.name)
        self._long = self._undated = 0

    def batches(
        self,
        bodies: Iterable[bytes],
        held_until: datetime | None = None,
        *,
        stored_until: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The spans of these pages. held_until: how far the spans that are held of earlier reads
        are known to tell all; None = none are held. stored_until: the same, where all is read anew
        by the same rules: what HubSpot tells no more is given again as it was stored."""
        waiting: list[Row] = []
        for body in bodies:
            records = json.loads(body)["results"]
            self.seen.append(pa.array([str(record["id"]) for record in records], pa.string()))
            stored = self._stored(records, stored_until) if stored_until else {}
            for record in records:
                is_stored = str(record["id"]) in stored
                waiting += self._of(record, stored_until if is_stored else held_until)
            yield from (batch for batches in stored.values() for batch in batches)
            if len(waiting) >= _ROWS:
                yield self._batch(waiting)
                waiting = []
        if waiting:
            yield self._batch(waiting)

    def _stored(
        self, records: Sequence[Mapping[str, Any]], until: datetime
    ) -> dict[str, list[pa.RecordBatch]]:
        """Record -> its stored spans from before what HubSpot still tells, for those of which no
        value between the two is missing."""
        begins: dict[str, datetime] = {}
        for record in records:
            text = known_from(record.get("propertiesWithHistory") or {})
            if text and (begin := datetime.fromisoformat(text)) <= until:
                begins[str(record["id"])] = begin
        found: dict[str, list[pa.RecordBatch]] = {}
        if not begins:
            return found
        marks = (self.owner, "entered_at", "is_deleted")
        columns = tuple(dict.fromkeys((*self._request.columns, *marks)))
        for batch in self._request.stored(columns, ids=list(begins), of=self.owner):
            owners, starts, gone = (batch.column(name).to_pylist() for name in marks)
            for owner in dict.fromkeys(map(str, owners)):
                is_before = [
                    one == owner and at is not None and at < begins[owner] and not is_gone
                    for one, at, is_gone in zip(owners, starts, gone, strict=True)
                ]
                kept = batch.filter(pa.array(is_before, pa.bool_()))
                if kept.num_rows:
                    found.setdefault(owner, []).append(kept.select(list(self._request.columns)))
        return found

    def _of(self, record: Mapping[str, Any], held_until: datetime | None) -> Iterator[Row]:
        history = record.get("propertiesWithHistory") or {}
        self._undated += sum(not _normal(v) for each in history.values() for v in each or ())
        begin, changed = known_from(history), record.get("updatedAt")
        self._long += bool(begin)
        is_held = held_until is not None
        if begin and held_until is not None and datetime.fromisoformat(begin) > held_until:
            is_held = False
            changed = max(_normal({"timestamp": changed}), begin)
            self._let_go(str(record["id"]), begin)
        if not is_held:
            # The way through the stages is known further back than a value that changes more often,
            # which is null there. Spans that are held may know it.
            begin = known_from({self._leading: history.get(self._leading) or []})
        for row in self._rows(record, spans(history, self._leading)):
            if row["entered_at"] >= begin:
                yield {**row, "is_deleted": bool(record.get("archived")), "updated_at": changed}

    def _let_go(self, record: str, begin: str) -> None:
        """Between the last read and what HubSpot still tells lie values that nobody knows: the span
        that lasted at the last read has an unknown end, and would go on beside the new ones."""
        before = datetime.fromisoformat(begin) - timedelta(milliseconds=1)
        self._request.delete([record], at=before, of=self.owner)

    def _batch(self, rows: list[Row]) -> pa.RecordBatch:
        names = list(rows[0])
        columns = {name: [row[name] for row in rows] for name in names}
        plain = [n for n in names if n not in self._types]
        texts = pa.RecordBatch.from_arrays(
            [pa.array(columns[n], pa.string()) for n in self._types], names=list(self._types)
        )
        arrays = [pa.array(columns[n]) if n == "is_deleted" else _own(columns[n]) for n in plain]
        arrays += typed(texts, self._types, self._misfits)
        batch = pa.RecordBatch.from_arrays(arrays, names=[*plain, *self._types])
        return self._request.derive(batch, {name: name for name in batch.schema.names})

    def tell(self) -> None:
        for notice in self._misfits.notices():
            self._request.notice(notice)
        if self._undated:
            self._request.notice(
                f"{self._request.dataset.name}: {self._undated} former values have no usable "
                "instant; they are left out of the history."
            )
        if self._long:
            self._request.notice(
                f"{self._request.dataset.name}: {self._long} records have {_MOST_VERSIONS} or more "
                "versions of a property; HubSpot may have left out the oldest. Before the oldest "
                "that is left, an amount or close date that was not read while HubSpot told it is "
                "null, and a stage or status is missing."
            )


def _own(values: list[Any]) -> Any:
    """A column of texts, truths or numbers; of nulls alone, a text."""
    array = pa.array(values)
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def deal_rows(pipelines: Pipelines) -> Rows:
    """Rows of `opportunity_stage_history`: a stay is consecutive spans in one stage."""

    def rows(record: Mapping[str, Any], found: list[Span]) -> Iterator[Row]:
        deal, stay = str(record["id"]), ""
        for number, span in enumerate(found):
            stage = span.values["dealstage"]
            if number == 0 or found[number - 1].values["dealstage"] != stage:
                stay = _id(deal, span, found, number)
            known = pipelines.stages.get(stage)
            yield {
                "id": _id(deal, span, found, number),
                "opportunity_id": deal,
                "stay_id": stay,
                "stage": pipelines.label(stage),
                "is_closed": known.is_closed
                if known
                else _says(record, "hs_is_closed", found[number:]),
                "is_won": known.is_won
                if known
                else _says(record, "hs_is_closed_won", found[number:]),
                "probability": known.probability if known else None,
                "entered_at": span.start,
                "exited_at": span.end,
                "amount": span.values.get("amount"),
                "close_date": span.values.get("closedate"),
            }

    return rows


def _says(record: Mapping[str, Any], flag: str, rest: list[Span]) -> bool:
    """A flag of a stage that was deleted, at the first of the spans from there on.

    HubSpot's own while the deal is in that stage; one that went on had not been closed in it.
    """
    is_there = len({span.values["dealstage"] for span in rest}) == 1
    own: Mapping[str, Any] = record.get("properties") or {}
    return is_there and bool(own.get(flag) == "true")


def _is_over(record: Mapping[str, Any]) -> bool:
    """Whether a ticket is closed by what HubSpot says of it as it is now."""
    own: Mapping[str, Any] = record.get("properties") or {}
    flag = str(own.get("hs_is_closed") or "").lower()
    return flag == "true" or (not flag and bool(own.get("closed_date")))


TICKET_TYPES: Mapping[str, pa.DataType] = {
    "entered_at": INSTANT,
    "exited_at": INSTANT,
    "updated_at": INSTANT,
}
DEAL_TYPES: Mapping[str, pa.DataType] = {
    **TICKET_TYPES,
    "amount": MONEY,
    "close_date": INSTANT,
}


def ticket_rows(pipelines: Pipelines, categories: Mapping[str, str]) -> Rows:
    """Rows of `case_status_history`. categories: stage label or id -> status category."""

    def rows(record: Mapping[str, Any], found: list[Span]) -> Iterator[Row]:
        ticket = str(record["id"])
        for number, span in enumerate(found):
            stage = span.values["hs_pipeline_stage"]
            is_last = all(s.values["hs_pipeline_stage"] == stage for s in found[number:])
            yield {
                "id": _id(ticket, span, found, number),
                "case_id": ticket,
                "status": pipelines.label(stage),
                "status_category": _category(
                    stage, pipelines, categories, is_over=is_last and _is_over(record)
                ),
                "entered_at": span.start,
                "exited_at": span.end,
            }

    return rows


_DEFAULT_CATEGORIES = {"1": "new", "2": "pending", "3": "open", "4": "solved"}
"""Stages of HubSpot's default ticket pipeline: new, waiting on contact, waiting on us, closed."""


def _category(
    stage: str, pipelines: Pipelines, categories: Mapping[str, str], *, is_over: bool
) -> str:
    """is_over: what counts for a stage that was deleted; one that went on was open there."""
    known = pipelines.stages.get(stage)
    for name in (stage, known.label if known else ""):
        if name in categories:
            return categories[name]
    if known is None:
        return "solved" if is_over else "open"
    if known.is_closed:
        return "solved"
    return _DEFAULT_CATEGORIES.get(stage, "new" if known.place == 0 else "open")


def _id(record: str, span: Span, found: list[Span], number: int) -> str:
    """The same for a span at every read: the record, the instant, and which of that instant."""
    place = sum(1 for other in found[:number] if other.start == span.start)
    stamp = int(datetime.fromisoformat(span.start).timestamp() * 1000)
    return f"{record}-{stamp}" + (f"-{place}" if place else "")


def history_reader(account: Account, request: ReadRequest) -> tuple[HistoryReader, str]:
    """The reader of one of the two history datasets, and the property that leads."""
    if request.dataset.name == "opportunity_stage_history":
        rows = deal_rows(account.pipelines("deals"))
        return HistoryReader(request, "dealstage", rows, DEAL_TYPES, "opportunity_id"), "deals"
    rows = ticket_rows(account.pipelines("tickets"), account.config.ticket_stages)
    return HistoryReader(request, "hs_pipeline_stage", rows, TICKET_TYPES, "case_id"), "tickets"
