"""Where the reading of a delimited file stands, across the passes that Arrow makes over it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from crmetrics_csv.records import Ragged

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics_csv.lines import RecordLines

END_MARK = "\x1aend-of-file"
_CLIP = 300
_HELD_LIMIT = 64 << 20


class OddRows:
    """Takes the rows with a wrong number of fields from Arrow's parser.

    The last of them is the end mark that we append: only a parser that stands outside a quoted
    field sees it as a row of its own, so a quote that never closes cannot swallow the file's end.
    has_overflown: the file consists of odd rows; parsing stopped.
    """

    def __init__(self) -> None:
        self.rows: deque[tuple[int, int, int, str]] = deque()
        self.saw_end = False
        self.has_overflown = False
        self._held = 0

    def __call__(self, row: Any) -> Literal["skip", "error"]:
        if row.text.startswith(END_MARK):
            self.saw_end = True
            return "skip"
        text = row.text[:_CLIP]
        self.rows.append((row.number, row.expected_columns, row.actual_columns, text))
        self._held += len(text) + 100
        self.has_overflown = self._held > _HELD_LIMIT
        return "error" if self.has_overflown else "skip"

    def take(self) -> list[tuple[int, int, int, str]]:
        """The rows since the last call."""
        taken = list(self.rows)
        self.rows.clear()
        self._held = 0
        return taken


class Progress:
    """Numbers the records and tells what is new, when a file is parsed again from its start.

    given: records handed out. last_number: the highest record number seen.
    """

    def __init__(self, follow_lines: Callable[[], RecordLines]) -> None:
        self._follow_lines = follow_lines
        self._follower: RecordLines | None = None
        self._told = 0
        self._ragged: list[Ragged] = []
        self.given = 0
        self.last_number = 0
        self.begin_pass(OddRows())

    def begin_pass(self, odd_rows: OddRows) -> None:
        """Parsing starts at the first record; `odd_rows` is its handler."""
        self._odd_rows = odd_rows
        self._odd_numbers: deque[int] = deque()
        self._seen = 0
        self._next_number = 1

    def advance(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Sequence[int]]:
        """(the records of the batch that were not given yet, their numbers)."""
        self.note_odd_rows()
        numbers = self._numbers(batch.num_rows)
        repeated = min(max(self.given - self._seen, 0), batch.num_rows)
        self._seen += batch.num_rows
        self.given = max(self.given, self._seen)
        return batch.slice(repeated), numbers[repeated:]

    def note_odd_rows(self) -> None:
        """Take over what the parser has met, with the lines where it stands."""
        for number, expected, found, text in self._odd_rows.take():
            self._odd_numbers.append(number)
            self.last_number = max(self.last_number, number)
            if number > self._told:
                self._told = number
                self._ragged.append(Ragged(self._line(number), expected, found, text))

    def take_ragged(self) -> list[Ragged]:
        """The odd rows that were not told yet."""
        taken, self._ragged = self._ragged, []
        return taken

    def _numbers(self, count: int) -> Sequence[int]:
        """The numbers of the next `count` good records; odd rows have numbers of their own."""
        while self._odd_numbers and self._odd_numbers[0] == self._next_number:
            self._odd_numbers.popleft()
            self._next_number += 1
        start = self._next_number
        if not self._odd_numbers or self._odd_numbers[0] >= start + count:
            numbers: Sequence[int] = range(start, start + count)
        else:
            listed: list[int] = []
            number = start
            while len(listed) < count:
                if self._odd_numbers and self._odd_numbers[0] == number:
                    self._odd_numbers.popleft()
                else:
                    listed.append(number)
                number += 1
            numbers = listed
        if count:
            self._next_number = numbers[-1] + 1
            self.last_number = max(self.last_number, numbers[-1])
        return numbers

    def _line(self, number: int) -> int:
        if self._follower is None:
            self._follower = self._follow_lines()
        return self._follower.line(number)
