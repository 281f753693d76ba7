"""Which field of a file fills which canonical column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crmetrics.plugin import Dataset, SourceError, did_you_mean

_WORD = re.compile(r"[^\W\d]\w*")
_QUOTED_NAME = re.compile(r'"((?:[^"]|"")+)"')
_SQL_CONSTANTS = frozenset(
    ("true", "false", "null", "current_date", "current_timestamp", "current_time", "today", "now")
)


class AmbiguousFieldError(SourceError):
    """A name fits several fields of a header."""


class Header:
    """The field names of one file, in order; names may repeat or be empty."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._folded: dict[str, list[int]] = {}
        for position, name in enumerate(self.names):
            self._folded.setdefault(name.casefold(), []).append(position)
        counts = Counter(self.names)
        self.duplicates = tuple(name for name, count in counts.items() if count > 1 and name)
        self.unnamed = tuple(position + 1 for position, name in enumerate(self.names) if not name)

    def find(self, name: str) -> int | None:
        """The position of a field: exact name first, then in any case if that is one field.

        Raises AmbiguousFieldError when several fields fit.
        """
        name = name.strip()
        if not name:
            return None
        folded = self._folded.get(name.casefold(), [])
        positions = [position for position in folded if self.names[position] == name] or folded
        if len(positions) > 1:
            places = ", ".join(f"{self.names[i]!r} (field {i + 1})" for i in positions)
            raise AmbiguousFieldError(
                f"expected one field {name!r}, found several: {places}. Rename all but one."
            )
        return positions[0] if positions else None

    def find_mapped(self, text: str) -> int | None:
        """The field that a `columns:` entry names bare, also as a quoted SQL name."""
        position = self.find(text)
        quoted = _QUOTED_NAME.fullmatch(text.strip()) if position is None else None
        return self.find(quoted.group(1).replace('""', '"')) if quoted else position

    def mentioned(self, expression: str) -> tuple[int, ...]:
        """The fields that a SQL expression may read: those whose name occurs in its text.

        Rather too many than too few; DuckDB takes what it needs. Raises AmbiguousFieldError when a
        mentioned name stands for several fields.
        """
        folded = expression.casefold()
        found = []
        for name, positions in self._folded.items():
            written = name.replace('"', '""')
            if name and re.search(rf"(?<!\w){re.escape(written)}(?!\w)", folded):
                exact = [i for i in positions if self.names[i] in expression]
                found.append(self.find(self.names[(exact or positions)[0]]))
        return tuple(position for position in found if position is not None)


@dataclass(frozen=True, slots=True)
class FilePlan:
    """How one file fills a dataset.

    fields: canonical column -> position of the field that holds it, typed on reading.
    computed: canonical columns that are SQL expressions; computed_fields: what these may read.
    numbers_rows: the file has no id; a row's id is the file's stem and the row's number.
    """

    fields: Mapping[str, int]
    computed: tuple[str, ...] = ()
    computed_fields: tuple[int, ...] = ()
    numbers_rows: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The canonical columns that the file fills."""
        own = ("id",) if self.numbers_rows else ()
        return (*own, *self.fields, *self.computed)

    def only(self, columns: Iterable[str]) -> FilePlan:
        """The plan for these columns."""
        wanted = set(columns)
        computed = tuple(name for name in self.computed if name in wanted)
        return FilePlan(
            {name: position for name, position in self.fields.items() if name in wanted},
            computed,
            self.computed_fields if computed else (),
            self.numbers_rows and "id" in wanted,
        )

    def unused(self, header: Header) -> tuple[str, ...]:
        """The fields that fill nothing."""
        used = {*self.fields.values(), *self.computed_fields}
        return tuple(
            name for position, name in enumerate(header.names) if position not in used and name
        )


def plan_file(
    dataset: Dataset, mapping: Mapping[str, str], header: Header
) -> tuple[FilePlan, list[str]]:
    """(what the file fills, what is wrong with the mapping and the header).

    A mapped column reads the field of that name, or is a SQL expression. Any other column of the
    dataset is filled by the field of its own name, if there is one.
    """
    problems: list[str] = []
    fields: dict[str, int] = {}
    computed: list[str] = []
    mentioned: set[int] = set()
    for column, text in mapping.items():
        if column not in dataset:
            hint = did_you_mean(column, dataset.column_names)
            problems.append(f"columns: {dataset.name} has no column {column!r}. {hint}".rstrip())
            continue
        try:
            position = header.find_mapped(text)
            if position is not None:
                fields[column] = position
            elif (problem := _misnamed(column, text, header)) is not None:
                problems.append(problem)
            else:
                computed.append(column)
                mentioned.update(header.mentioned(text))
        except AmbiguousFieldError as exc:
            problems.append(f"column {column!r}: {exc}")
    _add_own_names(dataset, mapping, header, fields, problems)
    filled = {*fields, *mapping}
    numbers_rows = dataset.key == ("id",) and "id" not in filled
    problems += [
        f"no field for {key!r}, a key of {dataset.name}: every row needs one. Map it under "
        f"`columns:`; the file has {_listed(header.names)}."
        for key in dataset.key
        if key not in filled and not numbers_rows
    ]
    if computed and not mentioned and header.names:
        # An expression of constants still needs rows to stand in.
        mentioned.add(next((i for i, name in enumerate(header.names) if name), 0))
    plan = FilePlan(fields, tuple(computed), tuple(sorted(mentioned)), numbers_rows)
    return plan, problems


def _add_own_names(
    dataset: Dataset,
    mapping: Mapping[str, str],
    header: Header,
    fields: dict[str, int],
    problems: list[str],
) -> None:
    for column in dataset.column_names:
        if column in mapping or column == "source":
            continue
        try:
            position = header.find(column)
        except AmbiguousFieldError as exc:
            problems.append(f"column {column!r}: {exc}")
            continue
        if position is not None:
            fields[column] = position


def _misnamed(column: str, text: str, header: Header) -> str | None:
    """What is wrong with a mapping that is no field, if it is no expression either."""
    name = text.strip()
    quoted = _QUOTED_NAME.fullmatch(name)
    if quoted:
        name = quoted.group(1)
    elif name.casefold() in _SQL_CONSTANTS:
        return None
    hint = did_you_mean(name, filter(None, header.names))
    words = name.split()
    known = {field.casefold() for field in header.names}
    # `Acount Name` is a field name with a slip; `not is_open` is an expression.
    is_spaced_name = (
        len(words) > 1
        and bool(hint)
        and all(_WORD.fullmatch(word) and word.casefold() not in known for word in words)
    )
    if not (quoted or is_spaced_name or _WORD.fullmatch(name)):
        return None
    return (
        f"column {column!r}: {name!r} is no field of the file, which has "
        f"{_listed(header.names)}. " + (hint or f"A constant text needs quotes: \"'{name}'\".")
    )


def _listed(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(name for name in names[:limit] if name)
    return shown + (", ..." if len(names) > limit else "")
