"""How a delimited file is written: encoding, delimiter, header. Found in its first lines."""

from __future__ import annotations

import codecs
import csv
import io
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from crmetrics.plugin import SourceError
from crmetrics_csv.files import DataFile
from crmetrics_csv.ledger import Stamp, stamp_of
from crmetrics_csv.options import FileRules
from crmetrics_csv.streams import encoding_of, raw_blocks, wrong_encoding

SAMPLE_BYTES = 1 << 18
_SAMPLE_RECORDS = 200
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_BINARY_STARTS = {
    b"PK\x03\x04": "an Excel workbook or ZIP archive; export the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; export the sheet as CSV",
    b"PAR1": "a Parquet file; set `format: parquet`",
    b"\x1f\x8b": "gzip data; give the file the extension .gz",
    b"\x28\xb5\x2f\xfd": "zstd data; give the file the extension .zst",
    b"BZh": "bzip2 data; give the file the extension .bz2",
}
_field_limit_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one delimited file is written.

    fields: the header, whitespace trimmed. header_lines, header_bytes: length of everything up to
    the first record, as lines and as UTF-8 bytes. sample: the first records.
    """

    delimiter: str
    quote: str | None
    escape: str | None
    fields: tuple[str, ...]
    header_lines: int
    header_bytes: int
    sample: tuple[tuple[str, ...], ...]

    @property
    def csv_arguments(self) -> dict[str, Any]:
        """The dialect as arguments of `csv.reader`."""
        return _csv_arguments(self.delimiter, self.quote, self.escape)


def _csv_arguments(delimiter: str, quote: str | None, escape: str | None) -> dict[str, Any]:
    return {
        "delimiter": delimiter,
        "quotechar": quote or None,
        "escapechar": escape,
        "quoting": csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        "doublequote": True,
    }


@contextmanager
def unlimited_fields() -> Iterator[None]:
    """Let `csv` read fields of any length; its limit is one for the whole process."""
    with _field_limit_lock:
        former = csv.field_size_limit((1 << 31) - 1)
        try:
            yield
        finally:
            csv.field_size_limit(former)


def read_dialect(file: DataFile, rules: FileRules) -> Dialect:
    """Look at the start of a delimited file.

    Raises SourceError when the file is empty, is no text, has no header, or when its delimiter is
    not certain.
    """
    return _dialect_at(file, rules, stamp_of(file))


@lru_cache(32)
def _dialect_at(file: DataFile, rules: FileRules, stamp: Stamp) -> Dialect:
    """The dialect of a file as it is; asked for twice, to see what there is and to load it."""
    text, is_whole = _sample_text(file, rules)
    lines = list(_physical_lines(text))
    if not is_whole and lines:
        lines.pop()  # cut somewhere
    skipped = _lines_above_header(lines, rules)
    hint = _EXCEL_HINT.fullmatch(lines[skipped]) if skipped < len(lines) else None
    if hint:
        skipped += 1
    if skipped >= len(lines):
        raise SourceError(
            f"{file.part}: expected a header line, found none in the first "
            f"{len(lines)} lines. Look at `skip_rows:` under {rules.option_path}."
        )
    quote = rules.quote or None
    body = lines[skipped:]
    delimiter = (
        rules.delimiter
        or ("\t" if file.format == "tsv" else None)
        or (hint.group(1) if hint else None)
        or _sniffed_delimiter(file, body, quote, rules, is_whole)
    )
    arguments = _csv_arguments(delimiter, quote, rules.escape)
    records, header_lines = _records(body, arguments)
    _check_header_ends(file, body[:header_lines], arguments, skipped)
    header_text = "".join(lines[: skipped + header_lines])
    return Dialect(
        delimiter=delimiter,
        quote=quote,
        escape=rules.escape,
        fields=tuple(name.strip() for name in records[0]),
        header_lines=skipped + header_lines,
        header_bytes=len(header_text.encode()),
        # A record at the cut may be half a record.
        sample=tuple(tuple(record) for record in records[1 : None if is_whole else -1]),
    )


def _sample_text(file: DataFile, rules: FileRules) -> tuple[str, bool]:
    """(first text of the file, whether that is all of it)."""
    start = b""
    with closing(raw_blocks(file)) as blocks:
        for block in blocks:
            start += block
            if len(start) > SAMPLE_BYTES:
                break
    is_whole = len(start) <= SAMPLE_BYTES
    if not start:
        raise SourceError(f"{file.part}: the file is empty (0 bytes); expected a header line.")
    for magic, found in _BINARY_STARTS.items():
        if start.startswith(magic):
            raise SourceError(f"{file.part}: expected text, found {found}.")
    codec, mark = encoding_of(start, rules.encoding)
    data = start[mark:] if is_whole else start[mark:SAMPLE_BYTES]
    if codec == "utf-8" and b"\x00" in data[:200]:
        raise SourceError(
            f"{file.part}: expected UTF-8 text, found zero bytes as in UTF-16 without a byte order "
            f"mark. Set `encoding: utf-16-le` under {rules.option_path}."
        )
    try:
        text = codecs.getincrementaldecoder(codec)().decode(data, final=is_whole)
    except UnicodeDecodeError as exc:
        line = 1 + exc.object[: exc.start].decode(codec, "replace").count("\n")
        raise wrong_encoding(file, codec, exc, mark + exc.start, line) from exc
    return text, is_whole


def _physical_lines(text: str) -> Iterator[str]:
    r"""Lines that end in \n, \r or \r\n; str.splitlines also cuts at rarer characters."""
    return iter(io.StringIO(text, newline=""))


def _lines_above_header(lines: list[str], rules: FileRules) -> int:
    """Lines to pass over: those of `skip_rows` and blank ones after them."""
    count = rules.skip_rows
    while count < len(lines) and not lines[count].strip():
        count += 1
    return count


def _records(
    lines: Iterable[str], arguments: dict[str, Any], count: int = _SAMPLE_RECORDS
) -> tuple[list[list[str]], int]:
    """(header and `count` records without blank lines, physical lines of the header)."""
    with unlimited_fields():
        reader = csv.reader(lines, **arguments)
        header = next(reader)
        header_lines = reader.line_num
        rest = [record for record in islice(reader, count) if record]
    return [header, *rest], header_lines


def _check_header_ends(
    file: DataFile, lines: list[str], arguments: dict[str, Any], skipped: int
) -> None:
    """Raise SourceError when a quote opened in the header swallows what follows."""
    with unlimited_fields():
        if len(list(csv.reader([*lines, "\n", "end\n"], **arguments))) == 1:
            raise SourceError(
                f"{file.part}:{skipped + 1}: a quoted name of the header never ends; expected a "
                "closing quote. Look at the file, or at `quote:`."
            )


def _sniffed_delimiter(
    file: DataFile, lines: list[str], quote: str | None, rules: FileRules, is_whole: bool
) -> str:
    """The delimiter that cuts header and first records into the same number of fields.

    Of several in the header the only one that fits every record, else (in a ragged file) the only
    one that fits more than half of them. Raises SourceError when that does not settle it.
    """
    shares: dict[str, float] = {}
    for delimiter in _DELIMITERS:
        arguments = _csv_arguments(delimiter, quote, rules.escape)
        width = len(_records(lines, arguments, 0)[0][0])
        if width > 1:
            records, _ = _records(lines, arguments)
            following = records[1:] if is_whole else records[1:-1]
            fitting = sum(len(record) == width for record in following)
            shares[delimiter] = fitting / len(following) if following else 1.0
    if not shares:
        return ","  # a single column
    exact = [delimiter for delimiter, share in shares.items() if share == 1.0]
    fitting_most = exact or [delimiter for delimiter, share in shares.items() if share > 0.5]
    for candidates in (list(shares), fitting_most):
        if len(candidates) == 1:
            return candidates[0]
    names = " and ".join(_DELIMITERS[delimiter] for delimiter in fitting_most or shares)
    state = "fit equally well" if fitting_most else "occur in the header, but fit few lines"
    raise SourceError(
        f"{file.part}: the delimiter is not certain: {names} {state}. Set `delimiter:` under "
        f"{rules.option_path} (comma, semicolon, tab, pipe or a character)."
    )
