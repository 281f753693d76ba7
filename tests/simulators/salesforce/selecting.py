"""Queries run against an org: which records, in which order, shown how."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from simulators.salesforce.conditions import predicate
from simulators.salesforce.errors import Refusal, pictured
from simulators.salesforce.org import Org
from simulators.salesforce.paths import Binder, BoundPath, Record, object_or_refusal
from simulators.salesforce.soql import Column, Query, malformed, parse


class Selection:
    """A query bound to the org. ids: the records that answer it, in order, found when it is run."""

    def __init__(self, org: Org, query: Query, *, all_rows: bool) -> None:
        self.org, self.query, self.all_rows = org, query, all_rows
        self.seen: set[tuple[str, str]] = set()
        self.source = object_or_refusal(org, query.object, query.text, query.object_at)
        self.binder = Binder(org, self.source, query.text, self.seen)
        self.columns = [self.binder.bind(c.path, c.at) for c in self._wanted()]
        self._check_duplicates()
        self._grouped = [self.binder.bind(c.path, c.at) for c in query.group_by]
        self._check_grouping()
        self._accepts = predicate(query.where, self.binder, self._semi_join)
        self._ordering = [(o, self.binder.bind(o.path, o.at)) for o in query.order_by]
        for ordering, bound in self._ordering:
            if not bound.field.is_filterable:
                message = f"field '{bound.field.name}' can not be sorted in a query call"
                raise Refusal("MALFORMED_QUERY", pictured(query.text, ordering.at, message))

    def _wanted(self) -> Sequence[Column]:
        if not self.query.fields_of:
            return self.query.columns
        fields = self.org.visible(self.source.name)
        if self.query.fields_of == "custom":
            fields = [field for field in fields if field.name.endswith("__c")]
        return [Column(field.name, 0, "", field.name) for field in fields]

    def _check_duplicates(self) -> None:
        plain = [c.path.lower() for c in self.query.columns if not c.aggregate]
        for path in plain:
            if plain.count(path) > 1 and not self.query.group_by:
                raise Refusal("INVALID_FIELD", f"duplicate field selected: {path}")

    def _check_grouping(self) -> None:
        if not self.query.is_aggregate:
            return
        grouped = {column.path.lower() for column in self.query.group_by}
        for column in self.query.columns:
            if not column.aggregate and column.path.lower() not in grouped:
                message = f"Field must be grouped or aggregated: {column.path}"
                raise malformed(pictured(self.query.text, column.at, message))

    def _semi_join(self, query: Query) -> set[Any]:
        inner = Selection(self.org, query, all_rows=self.all_rows)
        self.seen |= inner.seen
        read = inner.columns[0].read
        return {read(record) for record in inner.records()}

    # --- which records -----------------------------------------------------------------------

    def records(self) -> list[Record]:
        """The records as they are now; a query without an order gives the newest first."""
        found = [r for r in reversed(self.source.records.values())
                 if self.is_visible(r) and self._accepts(r)]  # fmt: skip
        for ordering, bound in reversed(self._ordering):
            _sort(found, bound, ordering.is_descending, bound.read, ordering.is_nulls_last)
        first = self.query.offset or 0
        last = None if self.query.limit is None else first + self.query.limit
        return found[first:last] if first or last is not None else found

    def is_visible(self, record: Record) -> bool:
        """Queries show neither the recycle bin nor archived activities; queryAll shows both."""
        return self.all_rows or not (record.get("IsDeleted") or record.get("IsArchived"))

    # --- as JSON -----------------------------------------------------------------------------

    def renderer(self, version: str) -> Callable[[Record], dict[str, Any]]:
        """How a record is shown by REST: parents nested, each with its attributes."""
        base = f"/services/data/v{version}/sobjects"
        own: list[tuple[str, Callable[[Record], Any]]] = []
        parents: dict[str, list[BoundPath]] = {}
        for column in self.columns:
            if column.steps:
                parents.setdefault(column.steps[0].name, []).append(column)
            else:
                own.append((column.field.name, column.read))
        name = self.source.name

        def render(record: Record) -> dict[str, Any]:
            shown: dict[str, Any] = {
                "attributes": {"type": name, "url": f"{base}/{name}/{record['Id']}"}
            }
            for field, read in own:
                shown[field] = as_json(read(record))
            for parent, columns in parents.items():
                shown[parent] = self._parent(record, columns, 0, base)
            return shown

        return render

    def _parent(
        self, record: Record, columns: Sequence[BoundPath], depth: int, base: str
    ) -> dict[str, Any] | None:
        keys = [step.key for step in columns[0].steps[: depth + 1]]
        current: Record | None = record
        identity = None
        for key in keys:
            identity = current.get(key) if current is not None else None
            current = self.org.find(identity)
        if current is None:
            return None
        entity = self.org.name_of(identity)
        shown: dict[str, Any] = {
            "attributes": {"type": entity, "url": f"{base}/{entity}/{identity}"}
        }
        deeper: dict[str, list[BoundPath]] = {}
        for column in columns:
            if len(column.steps) > depth + 1:
                deeper.setdefault(column.steps[depth + 1].name, []).append(column)
            else:
                shown[column.field.name] = as_json(column.read(record))
        for name, inner in deeper.items():
            shown[name] = self._parent(record, inner, depth + 1, base)
        return shown

    # --- aggregates --------------------------------------------------------------------------

    def aggregate(self) -> list[dict[str, Any]]:
        """The rows of an aggregate query, one per group."""
        groups: dict[tuple[Any, ...], list[Record]] = {}
        if not self._grouped:
            groups[()] = []
        for record in self.records():
            key = tuple(bound.read(record) for bound in self._grouped)
            groups.setdefault(key, []).append(record)
        rows = []
        for key, records in groups.items():
            row: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
            names = {
                c.path.lower(): value for c, value in zip(self.query.group_by, key, strict=True)
            }
            for column, bound in zip(self.query.columns, self.columns, strict=True):
                value = (
                    _aggregate(column.aggregate, [bound.read(r) for r in records])
                    if column.aggregate
                    else names[column.path.lower()]
                )
                row[column.name] = as_json(value)
            rows.append(row)
        return rows


def select(org: Org, text: str, *, all_rows: bool = False) -> Selection:
    """The query of this text, checked; raises Refusal."""
    return Selection(org, parse(text), all_rows=all_rows)


def _sort(
    records: list[Record],
    bound: BoundPath,
    is_descending: bool,
    read: Callable[[Record], Any],
    is_nulls_last: bool | None,
) -> None:
    is_text = bound.field.kind not in ("id", "reference")
    known: list[Record] = []
    nulls: list[Record] = []
    for record in records:
        (nulls if read(record) is None else known).append(record)

    def key(record: Record) -> Any:
        value = read(record)
        return value.casefold() if is_text and isinstance(value, str) else value

    known.sort(key=key, reverse=is_descending)
    records[:] = [*known, *nulls] if is_nulls_last else [*nulls, *known]


def _aggregate(function: str, values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    if function == "count":
        return len(known)
    if function == "count_distinct":
        return len(set(known))
    if not known:
        return None
    if function == "sum":
        return sum(known)
    if function == "avg":
        return statistics.fmean(known)
    return min(known) if function == "min" else max(known)


# --- values on the wire -----------------------------------------------------------------------


def as_json(value: Any) -> Any:
    """A value as REST shows it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, datetime):
        return value.isoformat()[:19] + ".000+0000"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat()[:8] + ".000Z"
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value


def as_csv(value: Any) -> str:
    """A value as bulk results show it: quoted, null empty, whole numbers as `23.0`."""
    if value is None:
        return '""'
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    if isinstance(value, int | float | Decimal):
        return f'"{float(value)!r}"'
    if isinstance(value, datetime):
        return f'"{value.isoformat()[:19]}.000Z"'
    if isinstance(value, date):
        return f'"{value.isoformat()}"'
    return f'"{value.isoformat()[:8]}.000Z"'


def csv_page(
    columns: Sequence[BoundPath], records: Sequence[Record], *,
    delimiter: str = ",", ending: str = "\n",
) -> bytes:  # fmt: skip
    """Rows of bulk results under a header that names the columns as they were selected."""
    lines = [delimiter.join(f'"{column.path}"' for column in columns)]
    reads = [column.read for column in columns]
    lines += [delimiter.join([as_csv(read(record)) for read in reads]) for record in records]
    return (ending.join(lines) + ending).encode()
