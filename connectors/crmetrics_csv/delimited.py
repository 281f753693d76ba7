"""Records of CSV and TSV files: Arrow parses and converts, this module takes care of the rest.

Arrow converts a field straight to its column's type. Where a value does not fit, the field goes on
as text from there (the file is parsed again, the records already given are passed over), and the
text is read value by value with all the forms that Arrow does not know.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv

from crmetrics.plugin import ColumnType, SourceError
from crmetrics_csv.amounts import FALSE_TEXTS, TRUE_TEXTS
from crmetrics_csv.arrow import Array
from crmetrics_csv.dates import contradicts_iso
from crmetrics_csv.dialect import Dialect, read_dialect
from crmetrics_csv.fields import Header
from crmetrics_csv.files import DataFile
from crmetrics_csv.lines import RecordLines
from crmetrics_csv.options import FileRules
from crmetrics_csv.progress import END_MARK, OddRows, Progress
from crmetrics_csv.records import FieldBatch
from crmetrics_csv.streams import BLOCK, BlockStream, Checksum, check_utf8, utf8_blocks

_LONGEST_RECORD = 64 << 20
_COLUMN_IN_ERROR = re.compile(r"CSV column #(\d+)")
_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int": pa.string(),  # Arrow takes 0x1F for a number
    "float": pa.float64(),
    "money": pa.decimal128(18, 4),
    "date": pa.date32(),
}
_NAIVE = pa.timestamp("us")
_ZONED = pa.timestamp("us", tz="UTC")


class _UnfitFieldError(Exception):
    """Arrow met a value that it cannot convert, in this field (None: it did not say which)."""

    def __init__(self, message: str, position: int | None) -> None:
        super().__init__(message)
        self.position = position


class _LongRecordError(Exception):
    """A record is longer than a block."""


class DelimitedRecords:
    """The records of one delimited file."""

    def __init__(self, file: DataFile, rules: FileRules) -> None:
        self._file = file
        self._rules = rules
        self.dialect: Dialect = read_dialect(file, rules)
        self.header = Header(self.dialect.fields)
        self.checksum = ""

    # --- the interface of Records -------------------------------------------------------------

    def read(self, typed: Mapping[int, ColumnType], raw: Collection[int]) -> Iterator[FieldBatch]:
        types: dict[int, pa.DataType] = {position: pa.string() for position in (*typed, *raw)}
        types |= {
            position: self._start_type(position, kind)
            for position, kind in typed.items()
            if position not in raw
        }
        # Rows need a field to be counted by; with none named Arrow would read them all.
        types = types or {0: pa.string()}
        progress = Progress(self.follow_lines)
        block = BLOCK
        while True:
            try:
                for batch, numbers in self._parse(types, block, progress):
                    columns = dict(zip(types, batch.columns, strict=True))
                    fields = columns if len(numbers) else {}
                    yield FieldBatch(
                        {position: fields[position] for position in typed if fields},
                        {position: fields[position] for position in raw if fields},
                        numbers,
                        progress.take_ragged(),
                    )
                break
            except _UnfitFieldError as exc:
                self._read_as_text(types, exc)
            except _LongRecordError:
                block = self._longer(block, progress)
        progress.note_odd_rows()
        yield FieldBatch({}, {}, (), progress.take_ragged())

    def texts(self, position: int) -> Iterator[Array]:
        for batch in self.read({position: "string"}, ()):
            yield from batch.typed.values()

    def lines(self, numbers: Iterable[int]) -> dict[int, int]:
        follower = self.follow_lines()
        return {number: follower.line(number) for number in sorted(set(numbers))}

    def follow_lines(self) -> RecordLines:
        """Tells the line of record after record."""
        return RecordLines(self._data_blocks(None), self.dialect)

    # --- parsing ------------------------------------------------------------------------------

    def _start_type(self, position: int, kind: ColumnType) -> pa.DataType:
        """What Arrow should convert to, by the first records; a wrong guess only costs time."""
        values = [record[position] for record in self.dialect.sample if position < len(record)]
        values = [value.strip() for value in values]
        values = [v for v in values if v and v not in self._rules.null_values]
        candidates: list[pa.DataType] = [_NAIVE, _ZONED] if kind == "timestamp" else [_TYPES[kind]]
        if kind in ("date", "timestamp") and contradicts_iso(self._rules):
            return pa.string()
        if kind in ("string", "bool"):
            return candidates[0]
        if self._rules.decimal == "," and kind in ("float", "money"):
            values = [value.replace(",", ".") for value in values]
        return next((c for c in candidates if _fits(values, c)), pa.string())

    def _parse(
        self, types: Mapping[int, pa.DataType], block: int, progress: Progress
    ) -> Iterator[tuple[pa.RecordBatch, Sequence[int]]]:
        """One pass over the file; gives what comes behind the records already given."""
        odd_rows = OddRows()
        checksum = Checksum()
        progress.begin_pass(odd_rows)
        source: Any = pa.PythonFile(BlockStream(self._data_blocks(checksum)), "r")
        try:
            reader = arrow_csv.open_csv(
                source,
                read_options=arrow_csv.ReadOptions(
                    # One thread: Arrow then tells the numbers of odd rows, and it is no slower.
                    use_threads=False,
                    block_size=block,
                    column_names=[str(i) for i in range(len(self.header.names))],
                ),
                parse_options=self._parse_options(odd_rows),
                convert_options=self._convert_options(types),
            )
            for batch in reader:
                yield progress.advance(batch)
        except pa.ArrowInvalid as exc:
            if odd_rows.has_overflown:
                raise self._no_row_fits() from exc
            raise self._explained(exc) from exc
        if not odd_rows.saw_end:
            progress.note_odd_rows()
            raise self._unclosed_quote(progress)
        self.checksum = checksum.text

    def _parse_options(self, odd_rows: OddRows) -> arrow_csv.ParseOptions:
        dialect = self.dialect
        return arrow_csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            escape_char=dialect.escape or False,
            newlines_in_values=dialect.quote is not None or dialect.escape is not None,
            invalid_row_handler=odd_rows,
        )

    def _convert_options(self, types: Mapping[int, pa.DataType]) -> arrow_csv.ConvertOptions:
        return arrow_csv.ConvertOptions(
            column_types={str(position): kind for position, kind in types.items()},
            include_columns=[str(position) for position in types],
            null_values=["", *self._rules.null_values],
            strings_can_be_null=True,
            true_values=_in_all_cases(TRUE_TEXTS),
            false_values=_in_all_cases(FALSE_TEXTS),
            decimal_point=self._rules.decimal,
        )

    def _data_blocks(self, checksum: Checksum | None) -> Iterator[bytes]:
        """The file behind its header, with the end mark: a row of one field too many."""
        to_skip = self.dialect.header_bytes
        for block in utf8_blocks(self._file, self._rules.encoding, checksum):
            yield block[to_skip:]
            to_skip = max(0, to_skip - len(block))
        mark = END_MARK + self.dialect.delimiter * len(self.header.names)
        yield f"\n{mark}\n".encode()

    # --- trouble ------------------------------------------------------------------------------

    def _explained(self, exc: pa.ArrowInvalid) -> Exception:
        text = str(exc)
        if "straddling" in text:
            return _LongRecordError()
        if "invalid UTF8" in text:
            check_utf8(self._file)
        match = _COLUMN_IN_ERROR.search(text)
        if match or "onversion error" in text or "Rescaling" in text:
            return _UnfitFieldError(text, int(match.group(1)) if match else None)
        return SourceError(f"{self._file.part}: cannot be parsed: {text}")

    def _read_as_text(self, types: dict[int, pa.DataType], exc: _UnfitFieldError) -> None:
        """Go on with the field as text; with all fields when Arrow did not say which."""
        fields = types if exc.position is None else [exc.position]
        if all(types[position] == pa.string() for position in fields):
            raise SourceError(f"{self._file.part}: cannot be parsed: {exc}") from exc
        types.update(dict.fromkeys(fields, pa.string()))

    def _longer(self, block: int, progress: Progress) -> int:
        if block >= _LONGEST_RECORD:
            number = progress.last_number + 1
            raise SourceError(
                f"{self._file.part}: a record behind line {self.lines([number])[number]} is longer "
                f"than {_LONGEST_RECORD >> 20} MB; expected a line end or a closing quote. "
                + self._quote_hint
            )
        return block * 8

    def _no_row_fits(self) -> SourceError:
        return SourceError(
            f"{self._file.part}: hardly a line has the {len(self.header.names)} fields of the "
            f"header. Look at `delimiter:` under {self._rules.option_path}; it is "
            f"{self.dialect.delimiter!r} now."
        )

    def _unclosed_quote(self, progress: Progress) -> SourceError:
        """The file ends inside a quoted field; the record it is in is the last one seen."""
        number = max(progress.last_number, 1)
        return SourceError(
            f"{self._file.part}:{self.lines([number])[number]}: a quoted field of the record that "
            f"begins here never ends; expected a closing quote. {self._quote_hint}"
        )

    @property
    def _quote_hint(self) -> str:
        return (
            "If quotes are plain text in this file, set `quote: ''` under "
            f"{self._rules.option_path}."
        )


def _fits(values: Iterable[str], kind: pa.DataType) -> bool:
    try:
        pa.array(values, pa.string()).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _in_all_cases(texts: Iterable[str]) -> list[str]:
    return [form for text in texts for form in dict.fromkeys((text, text.title(), text.upper()))]
