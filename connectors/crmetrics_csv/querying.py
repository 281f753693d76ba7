"""Files whose records are no rows of the dataset: reshaped by the SELECT of `query:`.

The lines of an order become one order, the questions of a survey one row each, a count as many rows
as it says. The SELECT reads the relation `records` and nothing else: no file, no network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crmetrics.plugin import ColumnType, Finding, SourceError
from crmetrics_csv.arrow import Array
from crmetrics_csv.fields import Header
from crmetrics_csv.files import DataFile
from crmetrics_csv.options import FileRules
from crmetrics_csv.records import FieldBatch, Ragged, Records
from crmetrics_csv.values import is_text, null_out

if TYPE_CHECKING:
    import duckdb

_RELATION = "records"
_BATCH_ROWS = 50_000
_ALL_FIELDS = re.compile(r"(?:\bselect|,|\.)\s*\*", re.IGNORECASE)
_LOCK_DOWN: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "1",  # rows in the same order on every read: numbered rows keep their ids
}


class QueriedRecords:
    """The rows that a SELECT over the records of a file gives, as records of their own.

    Fields of delimited and JSON files reach it as text, an empty one as null; those of Parquet
    files with their types. Its rows have no lines: a value that cannot be read is named by the
    number of its row. Records that do not fit the header are set aside before it.
    """

    def __init__(self, inner: Records, query: str, file: DataFile, rules: FileRules) -> None:
        self._inner = inner
        self._query = query
        self._file = file
        self._rules = rules
        self._positions = self._fields_read()
        self._ragged: list[Ragged] = []
        self._failure: BaseException | None = None
        with self._connected() as duck:
            self.header = Header(self._columns_of(duck))

    @property
    def checksum(self) -> str:
        return self._inner.checksum

    def read(self, typed: Mapping[int, ColumnType], raw: Collection[int]) -> Iterator[FieldBatch]:
        number = 1
        wanted = {*typed, *raw}
        for batch in self._rows():
            fields = {position: self._nulled(batch.column(position)) for position in wanted}
            numbers = range(number, number + batch.num_rows)
            number += batch.num_rows
            yield FieldBatch(
                {position: fields[position] for position in typed},
                {position: fields[position] for position in raw},
                numbers,
                self._set_aside(),
            )
        yield FieldBatch({}, {}, (), self._set_aside())

    def texts(self, position: int) -> Iterator[Array]:
        for batch in self._rows():
            yield self._nulled(batch.column(position)).cast(pa.string())
        self._set_aside()

    def lines(self, numbers: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(numbers, 0)

    # --- what goes in ---------------------------------------------------------------------------

    def _fields_read(self) -> tuple[int, ...]:
        """The fields that the query may read; one at least, as rows need something to stand in."""
        header = self._inner.header
        if header.duplicates:
            named = ", ".join(map(repr, header.duplicates))
            raise self._error(f"the file has several fields named {named}; rename all but one")
        named_fields = [position for position, name in enumerate(header.names) if name]
        if not named_fields:
            return ()
        if _ALL_FIELDS.search(self._query):
            return tuple(named_fields)
        return tuple(sorted(header.mentioned(self._query))) or (named_fields[0],)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        names = [self._inner.header.names[position] for position in self._positions]
        for batch in self._inner.read(dict.fromkeys(self._positions, "string"), ()):
            self._ragged += batch.ragged
            if batch.numbers:
                arrays = [batch.typed[position] for position in self._positions]
                yield pa.RecordBatch.from_arrays(arrays, names=names)

    def _reader(self) -> pa.RecordBatchReader:
        batches = self._batches()
        first = next(batches, None)
        if first is None:
            names = [self._inner.header.names[position] for position in self._positions]
            schema = pa.schema([(name, pa.string()) for name in names])
            return pa.RecordBatchReader.from_batches(schema, ())
        return pa.RecordBatchReader.from_batches(
            first.schema, self._watched(chain([first], batches))
        )

    def _watched(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches; what goes wrong with them is remembered, as DuckDB only says that it did."""
        try:
            yield from batches
        except BaseException as exc:
            self._failure = exc
            raise

    # --- what comes out -------------------------------------------------------------------------

    def _rows(self) -> Iterator[pa.RecordBatch]:
        import duckdb

        with self._connected() as duck:
            duck.register(_RELATION, self._reader())
            try:
                yield from duck.sql(self._query).to_arrow_reader(_BATCH_ROWS)
            except (duckdb.Error, pa.ArrowException, OSError) as exc:
                if isinstance(self._failure, SourceError):
                    raise self._failure from exc
                raise self._error(_first_line(exc)) from exc

    def _columns_of(self, duck: duckdb.DuckDBPyConnection) -> list[str]:
        import duckdb

        try:
            statements = duck.extract_statements(self._query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise self._error(f"expected one SELECT over {_RELATION}")
            duck.register(_RELATION, self._reader())
            names: list[str] = list(duck.sql(f"select * from ({self._query}) limit 0").columns)
        except duckdb.Error as exc:
            if isinstance(self._failure, SourceError):
                raise self._failure from exc
            raise self._error(_first_line(exc)) from exc
        finally:
            self._ragged.clear()
        return names

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        self._failure = None
        duck = duckdb.connect(":memory:", config=_LOCK_DOWN)
        try:
            duck.execute(f"set timezone = '{self._rules.zone}'")
            duck.execute("set lock_configuration = true")
            yield duck
        finally:
            duck.close()

    def _nulled(self, values: Any) -> Any:
        return null_out(values, self._rules.null_values) if is_text(values.type) else values

    def _set_aside(self) -> tuple[Ragged, ...]:
        found = tuple(self._ragged)
        self._ragged.clear()
        return found

    def _error(self, reason: str) -> SourceError:
        finding = Finding(
            f"the query cannot be used: {reason}.",
            file=self._file.part,
            hint=f"Correct `query:` under {self._rules.option_path}; it reads the fields of the "
            f"relation `{_RELATION}`.",
        )
        return SourceError(findings=[finding])


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0].rstrip(".")
