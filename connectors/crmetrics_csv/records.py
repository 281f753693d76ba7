"""What every file format gives: a header, and batches of fields with the number of each record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from crmetrics.plugin import ColumnType
from crmetrics_csv.fields import Header

if TYPE_CHECKING:
    from crmetrics_csv.arrow import Array


@dataclass(frozen=True, slots=True)
class Ragged:
    """A record with too many or too few fields; it is set aside."""

    line: int
    expected: int
    found: int
    text: str


@dataclass(frozen=True, slots=True)
class FieldBatch:
    """Some fields of consecutive records, by position in the header.

    typed: fields that fill a column as they are; may have the column's type already. raw: fields
    for SQL expressions, as the file holds them. numbers: the number of each record in the file,
    from 1. ragged: what was set aside since the last batch.
    """

    typed: Mapping[int, Array]
    raw: Mapping[int, Array]
    numbers: Sequence[int]
    ragged: Sequence[Ragged] = field(default=())


class Records(Protocol):
    """The records of one file."""

    @property
    def header(self) -> Header:
        """The field names."""
        ...

    @property
    def checksum(self) -> str:
        """Of the whole file; known once `read` has ended."""
        ...

    def read(self, typed: Mapping[int, ColumnType], raw: Collection[int]) -> Iterator[FieldBatch]:
        """The fields asked for, each `typed` one best in the type of the column that it fills.

        The empty text and the configured null texts are null in text fields.
        Raises SourceError when the file cannot be read to its end.
        """
        ...

    def texts(self, position: int) -> Iterator[Array]:
        """One field of the whole file as batches of text, for a look before reading."""
        ...

    def lines(self, numbers: Iterable[int]) -> dict[int, int]:
        """The line on which each of these records begins; 0 where the format has no lines."""
        ...
