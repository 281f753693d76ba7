"""Records of NDJSON and JSON files, read in pieces whatever the size of the file."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from crmetrics.plugin import ColumnType, SourceError
from crmetrics_csv.arrow import Array
from crmetrics_csv.fields import Header
from crmetrics_csv.files import DataFile
from crmetrics_csv.json_stream import JsonArray, Numbered, NumberText, json_lines
from crmetrics_csv.options import FileRules
from crmetrics_csv.records import FieldBatch
from crmetrics_csv.streams import Checksum, check_utf8, utf8_blocks
from crmetrics_csv.values import null_out

_BATCH_RECORDS = 20_000
_BATCH_CHARACTERS = 8 << 20
_SAMPLE_CHARACTERS = 4 << 20


class JsonRecords:
    """The records of one NDJSON or JSON file.

    The header is every key of the records, in order of appearance; with is_quick that of the first
    four million characters.
    """

    def __init__(self, file: DataFile, rules: FileRules, *, is_quick: bool) -> None:
        self._file = file
        self._rules = rules
        self.checksum = ""
        names: dict[str, None] = {}
        looked_at = 0
        for _, record, size in self._records(Checksum()):
            names.update(dict.fromkeys(record))
            looked_at += size
            if is_quick and looked_at > _SAMPLE_CHARACTERS:
                break
        self.header = Header(tuple(names))

    def read(self, typed: Mapping[int, ColumnType], raw: Collection[int]) -> Iterator[FieldBatch]:
        checksum = Checksum()
        for numbered in _in_batches(self._records(checksum)):
            numbers = [number for number, _, _ in numbered]
            yield FieldBatch(
                {p: self._as_written(numbered, p, kind) for p, kind in typed.items()},
                {position: self._natural(numbered, position) for position in raw},
                numbers,
            )
        self.checksum = checksum.text

    def texts(self, position: int) -> Iterator[Array]:
        for batch in self.read({position: "string"}, ()):
            yield batch.typed[position]

    def lines(self, numbers: Iterable[int]) -> dict[int, int]:
        is_line = self._file.format == "ndjson"
        return {number: number if is_line else 0 for number in numbers}

    def _records(self, checksum: Checksum) -> Iterator[Numbered]:
        blocks = utf8_blocks(self._file, self._rules.encoding, checksum)
        records: Iterable[Numbered]
        if self._file.format == "ndjson":
            records = json_lines(blocks, self._file.part)
        else:
            path = self._rules.records.split(".") if self._rules.records else ()
            records = JsonArray(blocks, self._file.part, path, self._rules.option_path)
        try:
            yield from records
        except UnicodeDecodeError as exc:
            check_utf8(self._file)
            raise SourceError(f"{self._file.part}: cannot be decoded: {exc}") from exc

    # --- arrays -------------------------------------------------------------------------------

    def _as_written(self, numbered: Sequence[Numbered], position: int, kind: ColumnType) -> Array:
        """The values as text, numbers digit for digit."""
        name = self.header.names[position]
        texts = [self._text(record.get(name), name, number) for number, record, _ in numbered]
        if self._rules.decimal != "." and kind != "string":
            # The option is about numbers in quotes; JSON's own numbers always have a point.
            mark = self._rules.decimal
            texts = [v.replace(".", mark) if isinstance(v, NumberText) else v for v in texts]
        return null_out(pa.array(texts, pa.string()), self._rules.null_values)

    def _text(self, value: Any, name: str, number: int) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        found = "an object" if isinstance(value, dict) else "an array"
        place = f"{self._file.part}:{number}" if self._file.format == "ndjson" else self._file.part
        raise SourceError(
            f"{place}: field {name!r} of record {number}: expected one value, found {found}. Map "
            f"the column with an expression over it, such as `{name} ->> '$.id'`."
        )

    def _natural(self, numbered: Sequence[Numbered], position: int) -> Array:
        """The values for SQL: numbers, booleans and text as such, anything else as JSON text."""
        name = self.header.names[position]
        values = [record.get(name) for _, record, _ in numbered]
        kinds = {type(value) for value in values if value is not None}
        if kinds == {bool}:
            return pa.array(values, pa.bool_())
        if kinds == {NumberText}:
            return _numbers(values)
        texts = [v if v is None or isinstance(v, str) else json.dumps(_plain(v)) for v in values]
        return null_out(pa.array(texts, pa.string()), self._rules.null_values)


def _numbers(values: list[Any]) -> Array:
    if all(value is None or value.lstrip("-").isdigit() for value in values):
        try:
            return pa.array([None if v is None else int(v) for v in values], pa.int64())
        except (OverflowError, pa.ArrowInvalid):
            return pa.array(values, pa.string())
    numbers = [None if value in (None, "NaN") else float(value) for value in values]
    return pa.array(numbers, pa.float64())


def _plain(value: Any) -> Any:
    """A JSON value with its numbers as numbers."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, NumberText):
        return int(value) if value.lstrip("-").isdigit() else float(value)
    return value


def _in_batches(records: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    batch: list[Numbered] = []
    characters = 0
    for numbered in records:
        batch.append(numbered)
        characters += numbered[2]
        if len(batch) >= _BATCH_RECORDS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
