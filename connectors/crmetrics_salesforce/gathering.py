"""Rows that are put together from several objects: which records of each are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crmetrics.plugin import ReadRequest
from crmetrics_salesforce.assembling import Workbench
from crmetrics_salesforce.catalog import Catalog
from crmetrics_salesforce.former import recall, showing, shown_by
from crmetrics_salesforce.given import Given
from crmetrics_salesforce.lengths import IDS_AT_MOST, IDS_AT_ONCE
from crmetrics_salesforce.lookups import Lookups
from crmetrics_salesforce.reach import Reach
from crmetrics_salesforce.removals import Removals
from crmetrics_salesforce.soql import Query, Window
from crmetrics_salesforce.streams import Companion
from crmetrics_salesforce.transport import Transport
from crmetrics_salesforce.unseen import Unseen

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Span:
    """What a read covers. since: None = everything. is_refresh: everything although only changes
    were asked for, because values change without a trace."""

    since: datetime | None
    until: datetime | None
    is_refresh: bool = False


def companion_query(companion: Companion, types: Mapping[str, Any]) -> Query:
    """The records of an object that stand beside others."""
    where = (companion.where,) if companion.where else ()
    return Query(companion.object, types, where)


@dataclass
class Gathering:
    """Asks for the records of each object and puts them together.

    conditions: those of the project file and of the dataset itself, for an object. left: who is
    inactive -> since when, by the rows that were given.
    """

    _catalog: Catalog
    _transport: Transport
    _lookups: Lookups
    _request: ReadRequest
    _given: Given
    _removals: Removals
    _unseen: Unseen
    _span: Span
    _conditions: Callable[[Reach], tuple[str, ...]]
    left: dict[str, str | None] = field(default_factory=dict)

    def rows(self, reach: Reach, main: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows of an object, with what others say of them.

        main: its own records, all of them or those that changed.
        """
        import pyarrow as pa

        with closing(Workbench()) as bench:
            bench.make("main", {**dict.fromkeys(reach.stream.if_shown, pa.string()), **reach.types})
            bench.fill("main", main)
            bench.settle("main", reach.cursor)
            if self._span.since is not None:
                self._add_touched(bench, reach)
                bench.settle("main", reach.cursor)  # where many are touched, all are read beside
            else:
                for companion in reach.companions:
                    if shown_by(reach, companion):
                        self._removals.begin(companion.object)
            self._give(bench)
            held = tuple(self._given.before.get(reach.stream.object, ()))
            recall(bench, reach, self._request, held, is_whole=self._span.since is None)
            for companion, types in reach.companions.items():
                self._load(bench, reach, companion, types)
            if "DeactivatedAt" in reach.extras:
                self.left = bench.pairs("DeactivatedAt", reach.stream, reach.extras)
            for doubt in bench.column(reach.stream.doubts) if reach.stream.doubts else ():
                self._request.notice(doubt)
                if reach.stream.forgets and "where:" in doubt:
                    self._request.notice(self._unseen.at_stake(bench))
            yield from bench.rows_of(reach.stream, reach.extras)

    def _add_touched(self, bench: Workbench, reach: Reach) -> None:
        """Main rows that belong to what changed: the rest of their group, owners of companions."""
        group = reach.stream.group
        if group:
            ids = bench.column(f'select distinct "{group}" from main where "{group}" is not null')
            bench.make("main", reach.types)
            self._fill_by_ids(bench, "main", self._unbounded(reach), group, ids)
            return
        touched: set[str] = set()
        for companion, types in reach.companions.items():
            if companion.touches:
                touched.update(self._touched(companion, types))
                columns = shown_by(reach, companion)
                if columns and self._removals.has_lost(companion.object):
                    touched.update(showing(self._request, columns))
        if touched:
            touched -= set(bench.column("select Id from main"))
            self._fill_by_ids(bench, "main", self._unbounded(reach), "Id", sorted(touched))

    def _unbounded(self, reach: Reach) -> Query:
        return Query(reach.stream.object, reach.types, self._conditions(reach))

    def _touched(self, companion: Companion, types: Mapping[str, Any]) -> Iterator[str]:
        cursor = self._catalog.cursor_of(companion.object)
        if not cursor:
            return
        window = Window(cursor, self._span.since, self._span.until)
        query = companion_query(companion, types).over(window)
        for batch in self._transport.batches(query, self._request.started):
            yield from (v for v in batch.column(companion.link).to_pylist() if v is not None)

    def _load(
        self, bench: Workbench, reach: Reach, companion: Companion, types: Mapping[str, Any]
    ) -> None:
        import pyarrow as pa

        if not types:  # a companion that the org lacks, and that the rows can do without
            bench.make(companion.table, _guessed(companion, pa))
            return
        bench.make(companion.table, {**dict.fromkeys(companion.if_shown, pa.bool_()), **types})
        query = companion_query(companion, types)
        if self._span.since is None or not companion.link:
            if companion.link:
                rows = self._transport.batches(query, self._request.started)
            else:
                rows = iter(self._lookups.rows(query, self._request.started))
            bench.fill(companion.table, rows)
            return
        ids = bench.column(f'select distinct "{reach.stream.group or "Id"}" from main')
        self._fill_by_ids(bench, companion.table, query, companion.link, ids)

    def _fill_by_ids(
        self, bench: Workbench, table: str, query: Query, field: str, ids: Sequence[str]
    ) -> None:
        if len(ids) > IDS_AT_MOST:
            bench.fill(table, self._transport.batches(query, self._request.started))
            return
        for first in range(0, len(ids), IDS_AT_ONCE):
            part = query.of(field, ids[first : first + IDS_AT_ONCE])
            bench.fill(table, self._transport.batches(part, self._request.started))

    def _give(self, bench: Workbench) -> None:
        """What the SQL knows from the project file and from former reads."""
        options = self._catalog.options
        bench.given(
            "configured_statuses", ("status", "category"), list(options.case_statuses.items())
        )
        zone = options.timezone or self._catalog.context.timezone
        bench.given("zone", ("name",), [(zone,)])
        bench.given("reporting", ("currency",), [(self._catalog.context.currency,)])
        left = self._request.state.get("left", {})
        bench.given("left_before", ("id", "at"), list(dict(left).items()))


def _guessed(companion: Companion, pa: Any) -> dict[str, Any]:
    """Types by name for a companion without rows."""
    return {
        name: pa.bool_() if name[:2] == "Is" and name[2].isupper() else pa.timestamp("us", tz="UTC")
        if name.endswith("Date") else pa.string()
        for name in companion.fields
    }  # fmt: skip
