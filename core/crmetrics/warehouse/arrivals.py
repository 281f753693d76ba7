"""The stream of one read on its way into DuckDB: canonical, tagged, in batches of a good size."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crmetrics.datasets import Dataset
from crmetrics.errors import PLUGIN_ERRORS, CrmetricsError, SourceError, defect_of_connector
from crmetrics.warehouse.fields import FieldMapper
from crmetrics.warehouse.intake import Intake

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 50_000
"""Smaller batches are put together: a page of 100 records costs DuckDB as much as thousands."""

LARGE_ENOUGH = 4_000
"""Rows of a batch that goes as it is: to put it together with others would only copy it. DuckDB
stores batches of this size as fast as larger ones."""

BATCH_BYTES = 16 * 1024 * 1024
"""Wide rows fill a batch sooner: several batches wait at once, and memory must not follow width."""

LARGEST_BATCH = 250_000
"""Larger batches are taken in pieces, which share their memory."""

MAX_SHAPES = 62

Progress = Callable[[int], None]


class Arrivals:
    """The batches of a read, each row with all covered columns and three hidden ones.

    _part: the part that gave the row. _loaded_at: rising by a microsecond per row, so that the
    last of several copies is known whatever order DuckDB stores them in. _shapes: which columns
    the row was delivered with, one bit per set of columns (`mask`); bit 0 = all that are covered.

    fetched, missing_keys: rows so far, and those without a key. is_ascending: every key so far was
    above the one before, so no key came twice.
    """

    def __init__(
        self,
        dataset: Dataset,
        batches: Iterator[pa.RecordBatch],
        intake: Intake,
        mapper: FieldMapper,
        progress: Progress | None = None,
    ) -> None:
        self.fetched = 0
        self.missing_keys = 0
        self.is_ascending = len(dataset.key) == 1
        self.delivered: set[str] = set()
        self._dataset = dataset
        self._source = batches
        self._intake = intake
        self._mapper = mapper
        self._progress = progress
        self._shapes: list[frozenset[str]] = [frozenset(intake.columns)]
        self._schema: pa.Schema | None = None
        self._counter: pa.Array[Any] | None = None
        self._repeated: dict[str, tuple[object, pa.Array[Any]]] = {}
        self._last_key: object = None
        self._tagged = self._tag_all()
        self._ahead: tuple[int, pa.RecordBatch] | None = None

    # --- what a load asks --------------------------------------------------------------------

    @property
    def schema(self) -> pa.Schema:
        """Covered columns in the dataset's order, then _part, _loaded_at, _shapes."""
        if self._schema is None:
            import pyarrow as pa

            hidden = [
                # One text for a whole batch: a place in a dictionary costs a tenth of its copies.
                pa.field("_part", pa.dictionary(pa.int32(), pa.string())),
                pa.field("_loaded_at", pa.timestamp("us", tz="UTC")),
                pa.field("_shapes", pa.int64()),
            ]
            covered = self._dataset.arrow_schema(self._intake.columns)
            self._schema = pa.schema([*covered, *hidden])
        return self._schema

    @property
    def is_mixed(self) -> bool:
        """True when rows came with different sets of columns."""
        return len(self._shapes) > 1

    def mask(self, column: str) -> int:
        """The bits of `_shapes` that mean: this column was delivered."""
        return sum(1 << bit for bit, shape in enumerate(self._shapes) if column in shape)

    @property
    def mixed_columns(self) -> tuple[str, ...]:
        """Covered columns that some rows were delivered without."""
        return tuple(
            name
            for name in self._intake.columns
            if any(name not in shape for shape in self._shapes)
        )

    def peek(self) -> bool:
        """True when there is a further batch; reads it."""
        if self._ahead is None:
            self._ahead = next(self._tagged, None)
        return self._ahead is not None

    def batches(self, *, only_whole: bool = False) -> Iterator[pa.RecordBatch]:
        """The further batches; only_whole: up to the first whose rows lack a covered column."""
        while self.peek():
            assert self._ahead is not None
            shape, batch = self._ahead
            if only_whole and shape != 1:
                return
            self._ahead = None
            yield batch

    def close(self) -> None:
        """End the connector's generator, so that it releases what it holds."""
        self._tagged.close()
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    # --- making the batches ------------------------------------------------------------------

    def _tag_all(self) -> Generator[tuple[int, pa.RecordBatch], None, None]:
        """Batches of one shape each, put together up to BATCH_ROWS."""
        waiting: list[pa.RecordBatch] = []
        rows = size = shape_of_waiting = 0
        for raw in self._pieces():
            shape, batch = self._tag(raw)
            is_large = min(rows, batch.num_rows) >= LARGE_ENOUGH
            is_full = is_large or rows + batch.num_rows > BATCH_ROWS or size >= BATCH_BYTES
            if waiting and (shape != shape_of_waiting or is_full):
                yield shape_of_waiting, _joined(waiting)
                waiting, rows, size = [], 0, 0
            shape_of_waiting = shape
            rows += batch.num_rows
            # To ask a batch for its bytes costs as much as to make it.
            size += BATCH_BYTES if batch.num_rows >= LARGE_ENOUGH else batch.nbytes
            if batch.num_rows:
                waiting.append(batch)
            if self._progress is not None:
                self._progress(self.fetched)
        if waiting:
            yield shape_of_waiting, _joined(waiting)

    def _pieces(self) -> Iterator[pa.RecordBatch]:
        while (raw := self._next()) is not None:
            for start in range(0, max(raw.num_rows, 1), LARGEST_BATCH):
                yield raw.slice(start, LARGEST_BATCH)

    def _next(self) -> pa.RecordBatch | None:
        """The connector's next batch, None at the end.

        What goes wrong in the connector's code is the source's failure.
        """
        import pyarrow as pa

        try:
            batch = next(self._source)
        except StopIteration:
            return None
        except CrmetricsError:
            raise
        except PLUGIN_ERRORS as exc:
            raise SourceError(defect_of_connector(exc)) from exc
        if isinstance(batch, pa.RecordBatch):
            return batch
        raise SourceError(
            f"the connector gave a {type(batch).__name__} where a pyarrow.RecordBatch is expected. "
            "This is a defect of the connector."
        )

    def _tag(self, raw: pa.RecordBatch) -> tuple[int, pa.RecordBatch]:
        import pyarrow as pa

        part = self._intake.part
        batch = self._mapper.conform(raw, self._intake.columns)
        names = batch.schema.names
        if not self.delivered.issuperset(names):
            self.delivered.update(name for name in names if self._is_told(batch, name))
        shape = self._shape_of(names, part)
        self._watch_keys(batch)
        rows = batch.num_rows
        given = dict(zip(names, batch.columns, strict=True))
        given["_part"] = self._repeat("_part", part, rows)
        given["_loaded_at"] = self._instants(rows)
        given["_shapes"] = self._repeat("_shapes", shape, rows)
        self.fetched += rows
        arrays = [
            given[field.name] if field.name in given else pa.nulls(rows, field.type)
            for field in self.schema
        ]
        return shape, pa.record_batch(arrays, schema=self.schema)

    def _repeat(self, name: str, value: object, rows: int) -> pa.Array[Any]:
        """The value of a hidden column for the next rows; batches of the same value share it."""
        import pyarrow as pa

        former, array = self._repeated.get(name, (None, None))
        if array is None or former != value or len(array) < rows:
            scalar = pa.scalar(value, self.schema.field(name).type)
            array = pa.repeat(scalar, max(rows, BATCH_ROWS))
            self._repeated[name] = value, array
        return array.slice(0, rows)

    def _is_told(self, batch: pa.RecordBatch, name: str) -> bool:
        """Whether the batch says anything of a flag with a default; its nulls say nothing."""
        if name in self.delivered or self._dataset.column(name).default is None:
            return True
        return bool(batch.column(name).null_count < batch.num_rows)

    def _shape_of(self, given: Sequence[str], part: str | None) -> int:
        names = frozenset(given)
        if part is not None or names == self._shapes[0]:
            # What a part does not hold is empty: nothing of its former content is kept.
            return 1
        if names not in self._shapes:
            self._shapes.append(names)
        if len(self._shapes) > MAX_SHAPES:
            raise SourceError(
                f"the connector gave records with {len(self._shapes)} different sets of columns "
                f"in one read; at most {MAX_SHAPES} are possible. Fill missing columns with nulls."
            )
        return 1 << self._shapes.index(names)

    def _instants(self, rows: int) -> pa.Array[Any]:
        """`_loaded_at` of the next rows: the read's start plus their number in microseconds."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._counter is None or len(self._counter) < rows:
            ones = pa.repeat(pa.scalar(1, pa.int64()), max(rows, BATCH_ROWS))
            self._counter = pc.cumulative_sum(ones)
        began = int(self._intake.started.timestamp() * 1_000_000) - 1
        numbers = pc.add(self._counter.slice(0, rows), pa.scalar(began + self.fetched, pa.int64()))
        return numbers.view(pa.timestamp("us", tz="UTC"))

    def _watch_keys(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows == 0:
            return
        if self.is_ascending and self._continues(batch.column(self._dataset.key[0])):
            return  # above another key: neither null nor empty
        self.is_ascending = False
        self.missing_keys += self._count_missing(batch)

    def _count_missing(self, batch: pa.RecordBatch) -> int:
        """Rows with a null or an empty text in one of the key columns."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if len(self._dataset.key) == 1:
            key = batch.column(self._dataset.key[0])
            is_text = pa.types.is_string(key.type)
            empty = pc.equal(key, pa.scalar("")).true_count if is_text else 0
            return key.null_count + empty
        missing: pa.BooleanArray = pa.repeat(pa.scalar(False), batch.num_rows)
        for name in self._dataset.key:
            key = batch.column(name)
            missing = pc.or_(missing, pc.is_null(key))
            if pa.types.is_string(key.type):
                missing = pc.or_kleene(missing, pc.equal(key, pa.scalar("")))
        return missing.true_count

    def _continues(self, key: pa.Array[Any]) -> bool:
        import pyarrow.compute as pc

        first, last = key[0].as_py(), key[-1].as_py()
        if key.null_count or first == "":
            return False
        if self._last_key is not None and not self._last_key < first:
            return False
        self._last_key = last
        return bool(
            pc.all(pc.less(key.slice(0, len(key) - 1), key.slice(1))).as_py() in (True, None)
        )


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
