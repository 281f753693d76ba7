"""Records that are gone for good: by the log of deletions, else by comparing ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crmetrics.plugin import ReadRequest
from crmetrics_salesforce.answers import Removal, Removed
from crmetrics_salesforce.api import Api
from crmetrics_salesforce.describe import SObject
from crmetrics_salesforce.errors import ApiError
from crmetrics_salesforce.lengths import IDS_AT_MOST, IDS_AT_ONCE
from crmetrics_salesforce.reach import Reach
from crmetrics_salesforce.soql import Query, Window
from crmetrics_salesforce.streams import CURSORS
from crmetrics_salesforce.transport import Transport

_LOG_REACHES = timedelta(days=14)  # fifteen, less the time that zones and clocks take
_SHORTEST = timedelta(minutes=2)
_GONE = frozenset({"EXCEEDED_ID_LIMIT", "INVALID_REPLICATION_DATE"})


class Removals:
    """Tells the warehouse which stored records of a dataset no longer exist.

    The recycle bin needs no telling: its records are read with IsDeleted. logged: object -> how far
    the log was read.
    """

    def __init__(self, api: Api, transport: Transport, request: ReadRequest) -> None:
        self._api = api
        self._transport = transport
        self._request = request
        state = request.state.get("logged")
        self._before: Mapping[str, Any] = state if isinstance(state, dict) else {}
        self.logged: dict[str, str] = {}
        self._answers: dict[str, Sequence[Removal] | None] = {}

    def skip(self, reaches: list[Reach]) -> None:
        """A read of everything replaces what is stored; the log begins from here.

        Records of a job that an earlier run began may be gone since: the log is asked for them.
        """
        for reach in reaches:
            for name in _logs_of(reach):
                self.logged[name] = self._request.started.isoformat()
        resumed = self._transport.resumed
        began = {r.stream.object: resumed.get(r.stream.object) for r in reaches}
        if any(began.values()):
            told = {
                log: at.isoformat()
                for reach in reaches
                for log in _logs_of(reach)
                if (at := began[reach.stream.object]) is not None
            }
            self._before = {**self.logged, **told}
            self.tell(reaches)

    def begin(self, name: str) -> None:
        """All of an object is read: its log begins from here."""
        at = self._transport.resumed.get(name) or self._request.started
        self.logged[name] = at.isoformat()

    def has_lost(self, name: str) -> bool:
        """True when records of an object may be gone for good since the last read."""
        sobject = self._api.describe(name)
        if sobject is None or not sobject.replicateable:
            return False
        found = self._log_of(sobject)
        if found is None:
            self.begin(name)
            return True
        ids = sorted({record.id for record in found})
        return len(ids) > IDS_AT_MOST or bool({*ids} - self._still_there(name, ids))

    def tell(self, reaches: list[Reach], came: Sequence[Any] | None = None) -> None:
        """After an incremental read of these streams, which fill one dataset.

        came: arrays of all ids that the org shows, where everything was read; None = changes only.
        """
        for reach in reaches:
            if reach.stream.belongs_to is not None:
                self._tell_with(*reach.stream.belongs_to)
        for ids in came or ():
            self._request.retain(ids)
        kept = [reach for reach in reaches if reach.stream.removals == "log"]
        if not kept or len(kept) < len(reaches):
            return
        told = [self._told_by_log(reach) for reach in kept]
        if all(told):
            return
        # One object without a log is enough: the ids of the dataset are compared as a whole.
        for reach in kept:
            if came is None:
                self._compare(reach)
            self.logged[reach.stream.object] = self._request.started.isoformat()

    def _told_by_log(self, reach: Reach) -> bool:
        """True when the log covers the time since the last read."""
        if reach.is_assembled and reach.stream.relation:
            return False
        found = self._log_of(reach.sobject)
        by_instant: dict[datetime | None, list[str]] = {}
        for record in found or ():
            by_instant.setdefault(record.deleted_date, []).append(record.id)
        for at, ids in by_instant.items():
            self._request.delete(ids, at=at)
        return found is not None

    def _log_of(self, sobject: SObject) -> Sequence[Removal] | None:
        """What left the org since the last read; None when the log does not cover that time."""
        if sobject.name not in self._answers:
            self._answers[sobject.name] = self._read_log(sobject)
        return self._answers[sobject.name]

    def _read_log(self, sobject: SObject) -> Sequence[Removal] | None:
        name = sobject.name
        if not sobject.replicateable:
            return None
        start = datetime.fromisoformat(str(self._before[name])) if name in self._before else None
        start = start or self._request.since
        end = self._request.started
        if start is None or end - start > _LOG_REACHES:
            return None
        if end - start < _SHORTEST:
            self.logged[name] = start.isoformat()
            return ()
        try:
            answer = self._deleted(name, start, end)
        except ApiError as exc:
            if exc.code in _GONE or exc.status in (400, 403, 404):
                return None
            raise
        begins = answer.earliest_date_available
        if begins is not None and begins > start:
            return None
        covered = answer.latest_date_covered or start
        self.logged[name] = min(covered, end).isoformat()
        return answer.deleted_records

    def _deleted(self, name: str, start: datetime, end: datetime) -> Removed:
        return self._api.asked(
            Removed,
            "GET",
            f"sobjects/{name}/deleted/",
            what=f"the log of deletions of {name}",
            # `requests` encodes the plus sign; bare it would arrive as a space.
            params={"start": _stamp(start), "end": _stamp(end)},
        )

    # --- rows that leave with a record -----------------------------------------------------------

    def _tell_with(self, owner: str, column: str) -> None:
        """The history of records that are gone for good; that of records in the bin may come back
        with them."""
        sobject = self._api.describe(owner)
        if sobject is None:
            return
        found = self._log_of(sobject)
        ids = sorted({record.id for record in found or ()})
        if found is not None and len(ids) <= IDS_AT_MOST:
            self._request.delete(sorted({*ids} - self._still_there(owner, ids)), of=column)
            return
        cursor = next((name for name in CURSORS if sobject.field(name)), "")
        self._retain(owner, (), cursor, of=column)
        self.logged[owner] = self._request.started.isoformat()

    def _still_there(self, name: str, ids: Sequence[str]) -> set[str]:
        """Which of these records the org has, those in the bin included."""
        import pyarrow as pa

        there: set[str] = set()
        for first in range(0, len(ids), IDS_AT_ONCE):
            part = ids[first : first + IDS_AT_ONCE]
            for found in self._ids(Query(name, {"Id": pa.string()}).of("Id", part)):
                there.update(found.to_pylist())
        return there

    # --- comparing -------------------------------------------------------------------------------

    def _compare(self, reach: Reach) -> None:
        conditions = (reach.stream.where,) if reach.stream.where else ()
        self._retain(reach.stream.object, conditions, reach.cursor)

    def _retain(
        self, name: str, conditions: tuple[str, ...], cursor: str, *, of: str = "id"
    ) -> None:
        """All ids that the org still has; the warehouse marks the others."""
        import pyarrow as pa

        # A window without bounds: it can be cut if the whole is too slow.
        window = Window(cursor) if cursor else None
        query = Query(name, {"Id": pa.string()}, conditions, window)
        self._request.retain(pa.array([], pa.string()), of=of)
        for ids in self._ids(query):
            self._request.retain(ids, of=of)

    def _ids(self, query: Query) -> Iterator[Any]:
        for batch in self._transport.batches(query, self._request.started):
            yield batch.column("Id")


def _logs_of(reach: Reach) -> list[str]:
    """The objects whose log of deletions is looked at for a stream."""
    owner = reach.stream.belongs_to
    return [reach.stream.object, *([owner[0]] if owner else [])]


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
