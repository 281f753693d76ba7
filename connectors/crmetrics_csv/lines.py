"""On which physical line a record begins; asked for only when something is wrong with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from crmetrics_csv.dialect import Dialect, unlimited_fields
from crmetrics_csv.streams import BLOCK, BlockStream


class RecordLines:
    """Follows a delimited file record by record.

    Numbers count the records after the header from 1, blank lines aside, as Arrow counts them; a
    quoted field may span lines. One pass for any number of questions, as long as they ascend.
    """

    def __init__(self, blocks: Iterable[bytes], dialect: Dialect) -> None:
        text = io.TextIOWrapper(
            io.BufferedReader(BlockStream(blocks), BLOCK),
            encoding="utf-8",
            errors="replace",
            newline="",
        )
        self._dialect = dialect
        self._starts = self._walk(text)
        self._number = 0
        self._line = 0

    def _walk(self, text: Iterable[str]) -> Iterator[int]:
        """The line on which each record begins."""
        reader = csv.reader(text, **self._dialect.csv_arguments)
        before = self._dialect.header_lines
        begins = before + 1
        for record in reader:
            if record:
                yield begins
            begins = before + reader.line_num + 1

    def line(self, number: int) -> int:
        """The line of record `number`, which is at least the last one asked for.

        0 when the file has no such record.
        """
        with unlimited_fields():
            while self._number < number:
                self._line = next(self._starts, 0)
                self._number += 1
        return self._line
