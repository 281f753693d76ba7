"""Records of Parquet files; fields keep their types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from crmetrics.plugin import ColumnType, SourceError
from crmetrics_csv.arrow import Array
from crmetrics_csv.fields import Header
from crmetrics_csv.files import DataFile
from crmetrics_csv.options import FileRules
from crmetrics_csv.records import FieldBatch
from crmetrics_csv.streams import checksum_of
from crmetrics_csv.values import is_text, null_out

_BATCH_ROWS = 50_000


class ParquetRecords:
    """The records of one Parquet file."""

    def __init__(self, file: DataFile, rules: FileRules) -> None:
        self._file = file
        self._rules = rules
        self.checksum = ""
        try:
            with arrow_parquet.ParquetFile(file.path) as opened:
                self.header = Header(opened.schema_arrow.names)
        except (OSError, pa.ArrowInvalid) as exc:
            raise self._broken(exc) from exc

    def read(self, typed: Mapping[int, ColumnType], raw: Collection[int]) -> Iterator[FieldBatch]:
        # Parquet is read out of order, so the checksum takes a pass of its own.
        self.checksum = checksum_of(self._file.path)
        number = 1
        for batch in self._batches([*typed, *raw]):
            fields = {p: self._nulled(batch, p) for p in {*typed, *raw}}
            numbers = range(number, number + batch.num_rows)
            number += batch.num_rows
            yield FieldBatch(
                {position: fields[position] for position in typed},
                {position: fields[position] for position in raw},
                numbers,
            )

    def texts(self, position: int) -> Iterator[Array]:
        for batch in self._batches([position]):
            yield self._nulled(batch, position).cast(pa.string())

    def lines(self, numbers: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(numbers, 0)

    def _batches(self, positions: Iterable[int]) -> Iterator[pa.RecordBatch]:
        names = list(dict.fromkeys(self.header.names[position] for position in positions))
        try:
            with arrow_parquet.ParquetFile(self._file.path) as opened:
                yield from opened.iter_batches(
                    batch_size=_BATCH_ROWS, columns=names or [self.header.names[0]]
                )
        except (OSError, pa.ArrowInvalid) as exc:
            raise self._broken(exc) from exc

    def _nulled(self, batch: pa.RecordBatch, position: int) -> Any:
        values = batch.column(self.header.names[position])
        return null_out(values, self._rules.null_values) if is_text(values.type) else values

    def _broken(self, exc: Exception) -> SourceError:
        return SourceError(f"{self._file.part}: cannot be read as Parquet: {exc}")
