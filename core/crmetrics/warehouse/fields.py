"""Source fields to canonical columns: the mapping of the project file, and type casts.

Expressions run on an in-memory connection that reaches nothing: no file, no network, no
warehouse. Its session zone is that of the source, so an instant without a zone is read there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from crmetrics.datasets import Column, Dataset
from crmetrics.errors import QueryError, SourceError, did_you_mean
from crmetrics.secrets import redact
from crmetrics.warehouse.connection import Connection, connect_for_expressions
from crmetrics.warehouse.statements import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = "source_rows"
_known_aggregates: frozenset[str] = frozenset()
_SHOWN = 80  # characters of an offending value in a message


class Expression(Struct, frozen=True):
    """A mapping entry: its text, the source fields it reads, whether it is just a field's name."""

    text: str
    fields: tuple[str, ...]
    is_field: bool
    problem: str = ""


class FieldMapper:
    """Turns batches of one source into canonical columns of one dataset.

    Errors are SourceErrors that name the column, what it is computed from and a value that fails.
    Close it: it holds a connection once it was needed.
    """

    def __init__(self, dataset: Dataset, timezone: str) -> None:
        self.dataset = dataset
        self._timezone = timezone
        self._opened: Connection | None = None
        self._parsed: dict[str, Expression] = {}
        self._canonical: tuple[pa.Schema, Sequence[str]] | None = None

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            self._opened = connect_for_expressions(self._timezone)
        return self._opened

    @property
    def _aggregates(self) -> frozenset[str]:
        """Functions that exist as aggregates only; DuckDB's own, so they are looked up once."""
        global _known_aggregates
        if not _known_aggregates:
            rows = self._connection.rows(
                "select function_name from duckdb_functions() "
                "group by all having bool_and(function_type = 'aggregate')"
            )
            _known_aggregates = frozenset(str(name) for (name,) in rows)
        return _known_aggregates

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    # --- reading expressions -----------------------------------------------------------------

    def parse(self, column: str, text: str) -> Expression:
        """A mapping entry taken apart.

        Raises SourceError when it is no single expression over one row: aggregates, windows and
        subqueries would depend on how the source was cut into batches.
        """
        if text not in self._parsed:
            self._parsed[text] = self._parse(column, text)
        return self._parsed[text]

    def _parse(self, column: str, text: str) -> Expression:
        statement = f"select (\n{text}\n)"
        answer = json.loads(
            str(self._connection.scalar("select json_serialize_sql(?::varchar)", [statement]))
        )
        if answer.get("error"):
            # `Close Date` is no SQL, but a fine name of a field.
            problem = str(answer.get("error_message", ""))
            return Expression(text, (text.strip(),), is_field=True, problem=problem)
        item = _only_item(answer)
        if item is None:
            raise self._mapping_error(column, text, "it is more than one expression")
        for node in _nodes(item):
            kind = str(node.get("class"))
            if kind in _FORBIDDEN:
                raise self._mapping_error(column, text, f"it holds {_FORBIDDEN[kind]}")
            if kind == "FUNCTION" and node["function_name"].lower() in self._aggregates:
                reason = f"{node['function_name']} is an aggregate over many records"
                raise self._mapping_error(column, text, reason)
        if item.get("class") == "COLUMN_REF":
            name = text.strip() if len(item["column_names"]) > 1 else item["column_names"][0]
            return Expression(text, (name,), is_field=True)
        return Expression(text, tuple(dict.fromkeys(_fields(item))), is_field=False)

    # --- computing ---------------------------------------------------------------------------

    def evaluate(self, batch: pa.RecordBatch, mapping: Mapping[str, str]) -> pa.RecordBatch:
        """The canonical columns of `mapping` (column -> field or expression), in its order."""
        select: dict[str, str] = {}
        for name, text in mapping.items():
            if name not in self.dataset:
                hint = did_you_mean(name, self.dataset.column_names)
                raise SourceError(f"{self.dataset.name} has no column {name!r}. {hint}".rstrip())
            if text in batch.schema.names:
                select[name] = quoted(text)
                continue
            parsed = self.parse(name, text)
            if parsed.is_field:
                select[name] = self._field(batch, name, parsed)
            else:
                select[name] = f"\n{text}\n"
        return self._project(batch, select, mapping)

    def _field(self, batch: pa.RecordBatch, column: str, parsed: Expression) -> str:
        field = parsed.fields[0]
        for known in batch.schema.names:
            if known.lower() == field.lower():
                return quoted(known)
        if "." in field and field.partition(".")[0] in batch.schema.names:
            return field  # a field of a struct
        reason = f"the source has no field {field!r}."
        if parsed.problem:
            reason = f"it is neither a field of the source nor SQL ({parsed.problem})."
        hint = did_you_mean(field, batch.schema.names)
        raise self._mapping_error(column, parsed.text, f"{reason} {hint}".strip())

    def conform(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """Those of `columns` that the batch holds, cast to their canonical types.

        Raises SourceError when the batch holds an unknown column or a column twice, lacks the key,
        or holds a value that does not fit its column.
        """
        if self._canonical == (batch.schema, columns):
            return batch
        names = batch.schema.names
        self._require_known(names)
        kept = [name for name in columns if name in names]
        if kept == names and batch.schema.types == [self._column(n).arrow_type for n in kept]:
            self._canonical = batch.schema, columns
            return batch
        return self._project(batch, {name: quoted(name) for name in kept}, {})

    def _require_known(self, names: Sequence[str]) -> None:
        dataset = self.dataset
        for name in names:
            if name not in dataset:
                hint = did_you_mean(name, dataset.column_names)
                raise SourceError(
                    f"the connector gave a column {name!r}, which {dataset.name} has not. {hint} "
                    "Map it to a canonical column, or declare it with the hook "
                    "crmetrics_datasets.".replace("  ", " ")
                )
        if len(set(names)) < len(names):
            raise SourceError(f"the connector gave a column of {dataset.name} twice: {names}.")
        missing = [name for name in dataset.key if name not in names]
        if missing:
            raise SourceError(
                f"the connector gave records of {dataset.name} without {', '.join(missing)}, "
                f"which identifies them; given were {', '.join(names)}."
            )

    def _column(self, name: str) -> Column:
        return self.dataset.column(name)

    def _project(
        self, batch: pa.RecordBatch, select: Mapping[str, str], mapping: Mapping[str, str]
    ) -> pa.RecordBatch:
        import pyarrow as pa

        ready: dict[str, pa.Array[Any]] = {}
        computed: dict[str, str] = {}
        for name, sql in select.items():
            column = self._column(name)
            index = _index_of(batch, sql)
            if index is not None and batch.schema.types[index] == column.arrow_type:
                ready[name] = batch.column(index)
            else:
                computed[name] = f"cast({sql} as {column.sql_type})"
        if computed:
            try:
                ready |= self._run(batch, computed)
            except QueryError as exc:
                raise self._pinned(batch, computed, mapping, exc) from None
        arrays = [ready[name] for name in select]
        schema = pa.schema([(name, self._column(name).arrow_type) for name in select])
        return pa.record_batch(arrays, schema=schema)

    def _run(self, batch: pa.RecordBatch, computed: Mapping[str, str]) -> dict[str, pa.Array[Any]]:
        import pyarrow as pa

        self._connection.register(_ROWS, batch)
        try:
            listed = ", ".join(f"{sql} as {quoted(name)}" for name, sql in computed.items())
            table = self._connection.arrow(f"select {listed} from {_rows(batch.schema.names)}")
        finally:
            self._connection.unregister(_ROWS)
        if table.num_rows != batch.num_rows:
            raise QueryError(
                f"it gives {table.num_rows} rows for {batch.num_rows} records; an expression "
                "gives one value per record"
            )
        types = {name: self._column(name).arrow_type for name in computed}
        return {
            name: pa.concat_arrays(table[name].cast(kind).chunks)
            if table.num_rows
            else pa.array([], kind)
            for name, kind in types.items()
        }

    # --- errors ------------------------------------------------------------------------------

    def _pinned(
        self,
        batch: pa.RecordBatch,
        computed: Mapping[str, str],
        mapping: Mapping[str, str],
        exc: QueryError,
    ) -> SourceError:
        """The failure brought down to one column and one record."""
        for name, sql in computed.items():
            failure = self._failure(batch, {name: sql})
            if failure is None:
                continue
            row = self._first_failing(batch, {name: sql})
            text = mapping.get(name, name)
            if row is None:  # it fails without any row: a wrong name, function or type
                return self._mapping_error(name, text, str(failure).partition("\nin: ")[0])
            value = self._shown(batch, row, name, text)
            kind = f"{self._column(name).type}, {self._column(name).sql_type}"
            way = f" by {text}" if name in mapping else ""
            cause = str(failure).partition("\n")[0]
            hint = f" Correct the mapping of {name!r}." if name in mapping else ""
            return SourceError(
                redact(f"column {name!r} ({kind}) cannot be read{way} from {value}: {cause}.{hint}")
            )
        return SourceError(str(exc))

    def _failure(self, batch: pa.RecordBatch, computed: Mapping[str, str]) -> QueryError | None:
        try:
            self._run(batch, computed)
        except QueryError as exc:
            return exc
        return None

    def _first_failing(self, batch: pa.RecordBatch, computed: Mapping[str, str]) -> int | None:
        if self._failure(batch.slice(0, 0), computed) is not None:
            return None
        low, high = 0, batch.num_rows  # the first `low` rows work, the first `high` do not
        while high - low > 1:
            middle = (low + high) // 2
            if self._failure(batch.slice(low, middle - low), computed) is None:
                low = middle
            else:
                high = middle
        return low

    def _shown(self, batch: pa.RecordBatch, row: int, column: str, text: str) -> str:
        if text in batch.schema.names:
            fields: tuple[str, ...] = (text,)
        else:
            lowered = {name.lower(): name for name in batch.schema.names}
            fields = tuple(
                lowered[field.lower()]
                for field in self.parse(column, text).fields
                if field.lower() in lowered
            )
        marks = [name for name in batch.schema.names if name.lower() in self.dataset.key]
        shown = [*fields, *(name for name in marks if name not in fields)]
        values = (f"{name} = {_clipped(batch.column(name)[row].as_py())}" for name in shown)
        return ", ".join(values) or "a constant"

    def _mapping_error(self, column: str, text: str, reason: str) -> SourceError:
        end = "" if reason.endswith((".", "?", "!")) else "."
        return SourceError(
            redact(
                f"column {column!r} is mapped to {text!r}, which cannot be used: {reason}{end} "
                f"Correct `datasets: {self.dataset.name}: columns: {column}:` in crmetrics.yaml."
            )
        )


_FORBIDDEN: Mapping[str, str] = {
    "WINDOW": "a window function, which would depend on how the source is read",
    "SUBQUERY": "a subquery; it may read the fields of its own record only",
    "STAR": "a star; it must name the fields",
    "PARAMETER": "a parameter",
}


def _only_item(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """The one expression of a parsed `select (...)`; None when there is anything beside it."""
    statements = answer["statements"]
    if len(statements) != 1:
        return None
    node = statements[0]["node"]
    items = node.get("select_list") or []
    is_plain = node.get("type") == "SELECT_NODE" and not node.get("modifiers")
    if not is_plain or len(items) != 1 or node["from_table"]["type"] != "EMPTY":
        return None
    item: dict[str, Any] = items[0]
    return None if item.get("alias") or item.get("function_name") == "row" else item


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _fields(tree: Any, bound: frozenset[str] = frozenset()) -> Iterator[str]:
    """Names that an expression reads, without the parameters of its lambdas."""
    if isinstance(tree, list):
        for value in tree:
            yield from _fields(value, bound)
    elif isinstance(tree, dict):
        if tree.get("class") == "COLUMN_REF":
            first, *rest = tree["column_names"]
            if first not in bound and (rest or first.lower() not in _KEYWORDS):
                yield ".".join((first, *rest))
            return
        if tree.get("class") == "LAMBDA":
            bound = bound | frozenset(_fields(tree.get("lhs")))
            yield from _fields(tree.get("expr"), bound)
            return
        for value in tree.values():
            yield from _fields(value, bound)


_KEYWORDS = frozenset({"current_date", "current_timestamp", "current_time", "localtimestamp"})


def _rows(names: Sequence[str]) -> str:
    """The relation that expressions read. Fields of parents (`Account.Segment`) are there as
    `"Account.Segment"`, and as the member of a struct, so that they need no quotes."""
    known = {name.lower() for name in names}
    tree: dict[str, Any] = {}
    for name in names:
        first, *rest = name.split(".")
        if not rest or first.lower() in known or not all((first, *rest)):
            continue
        branch = tree.setdefault(first, {})
        for part in rest[:-1]:
            branch = branch.setdefault(part, {}) if isinstance(branch, dict) else branch
        if isinstance(branch, dict):
            branch.setdefault(rest[-1], name)
    if not tree:
        return _ROWS
    members = ", ".join(f"{_struct(branch)} as {quoted(name)}" for name, branch in tree.items())
    return f"(select *, {members} from {_ROWS})"


def _struct(branch: Any) -> str:
    """A tree of names as SQL that packs them."""
    if not isinstance(branch, dict):
        return quoted(branch)
    packed = ", ".join(f"{quoted(name)} := {_struct(inner)}" for name, inner in branch.items())
    return f"struct_pack({packed})"


def _index_of(batch: pa.RecordBatch, sql: str) -> int | None:
    """The position of the field that `sql` quotes, if it is nothing but a quoted field."""
    for index, name in enumerate(batch.schema.names):
        if sql == quoted(name):
            return index
    return None


def _clipped(value: object) -> str:
    text = literal(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
