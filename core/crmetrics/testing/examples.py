"""Worked examples: small tables in a text file, with the KPI values that they must give.

    @opportunities
    id,close_date,is_closed,is_won,amount
    1,2026-01-05,true,true,1000
    2,2026-01-06,true,false,500
    @expected
    kpi,value,coverage
    win_rate,0.5,
    average_deal_size,1000,missing_amount=0

A line `@DATASET` begins the rows of a dataset; the line after it names the columns shown. Empty is
null. Columns that are not shown are filled by the rule of the KPI catalogue (1.1): flags get their
default, `id` and `subscription_id` the row's number, `source` the source's name, activities are
e-mails, orders are paid, other required columns get `-`, 2000-01-01, 0 or false, all others null.
An instant without a zone is UTC, a date stands for its 00:00.

Further blocks, both optional:

- `@expected`: one row per value. Columns: `kpi` (`KPI` or `KPI.VARIANT`), `value` (empty = null),
  and as needed `period` (2026-01), `by` (`owner.team;segment`), `segment`
  (`owner.team=East;segment=smb`), `as_of`, `status`, `n`, `coverage` (`missing_amount=1;orphan=2`).
- `@settings`: columns `name,value`; `metrics.settings` of the project. The value is JSON or a text.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmetrics.datasets import Column, Dataset, canonical_datasets
from crmetrics.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

PERIOD = "2026-01"
"""The period of an expected value that names none."""

_OWN_DEFAULTS = {("activities", "activity_type"): "email", ("orders", "status"): "paid"}
_NUMBERED = ("id", "subscription_id")
_BLANKS: Mapping[str, Any] = {
    "string": "-",
    "bool": False,
    "int": 0,
    "float": 0.0,
    "money": Decimal(0),
    "date": date(2000, 1, 1),
    "timestamp": datetime(2000, 1, 1, tzinfo=UTC),
}
_EXPECTED = ("kpi", "value", "period", "by", "segment", "as_of", "status", "n", "coverage")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One value that the example must give; empty texts and None mean: not asked.

    value: None = null. segment: the row of a split result; by: the dimensions asked for.
    """

    kpi: str
    value: float | None
    period: str = PERIOD
    by: tuple[str, ...] = ()
    segment: Mapping[str, str] = field(default_factory=dict)
    as_of: str = ""
    status: str = ""
    n: int | None = None
    coverage: Mapping[str, float] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """The content of an example file."""

    tables: Mapping[str, pa.Table]
    expected: tuple[Expectation, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""


@dataclass(frozen=True, slots=True)
class _Block:
    """The lines of one `@NAME`; `line` is that of its header."""

    name: str
    line: int
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_tables(
    text: str,
    *,
    datasets: Mapping[str, Dataset] | None = None,
    source: str = "test",
    also: Iterable[str] = (),
) -> dict[str, pa.Table]:
    """The datasets of an example, with all their columns and canonical types.

    also: datasets that the example does not show and that are wanted without rows.
    Raises UsageError with the line of what cannot be read.
    """
    return dict(read_example(text, datasets=datasets, source=source, also=also).tables)


def read_example_file(
    path: Path, *, datasets: Mapping[str, Dataset] | None = None, source: str = "test"
) -> Example:
    """The example in a file; see `read_tables`."""
    text = path.read_text(encoding="utf-8")
    return read_example(text, datasets=datasets, source=source, file=str(path))


def read_example(
    text: str,
    *,
    datasets: Mapping[str, Dataset] | None = None,
    source: str = "test",
    also: Iterable[str] = (),
    file: str = "",
) -> Example:
    """Tables, expected values and settings of an example; see the module's text."""
    known = canonical_datasets() if datasets is None else datasets
    tables: dict[str, pa.Table] = {name: known[name].arrow_schema().empty_table() for name in also}
    expected: tuple[Expectation, ...] = ()
    settings: dict[str, Any] = {}
    for block in _blocks(text, file):
        if block.name == "expected":
            _require_columns(block, _EXPECTED, file)
            expected = tuple(_expectation(row, line, file) for line, row in block.rows)
        elif block.name == "settings":
            _require_columns(block, ("name", "value"), file)
            settings = {row["name"]: _setting(row["value"]) for _, row in block.rows}
        elif block.name in known:
            tables[block.name] = _table(known[block.name], block, source, file)
        else:
            hint = did_you_mean(block.name, [*known, "expected", "settings"])
            raise _error(f"there is no dataset {block.name!r}. {hint}", block.line - 1, file)
    return Example(tables, expected, settings, file)


# --- blocks ----------------------------------------------------------------------------------


def _blocks(text: str, file: str) -> Iterator[_Block]:
    name, header = "", 0
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("@"):
            if name:
                yield _block(name, header, lines, file)
            name, header, lines = line[1:].strip(), number + 1, []
        elif line.strip() and not name:
            raise _error("expected a line `@DATASET` before the first row", number, file)
        elif line.strip():
            lines.append((number, line))
    if name:
        yield _block(name, header, lines, file)


def _block(name: str, header: int, lines: list[tuple[int, str]], file: str) -> _Block:
    if not lines:
        raise _error(f"@{name} has no line that names its columns", header - 1, file)
    columns, *rows = [[cell.strip() for cell in next(csv.reader([line]))] for _, line in lines]
    found = []
    for (number, _), cells in zip(lines[1:], rows, strict=True):
        if len(cells) != len(columns):
            raise _error(
                f"@{name} has {len(columns)} columns, this row has {len(cells)} values",
                number,
                file,
            )
        found.append((number, dict(zip(columns, cells, strict=True))))
    return _Block(name, lines[0][0], tuple(columns), tuple(found))


def _require_columns(block: _Block, known: Iterable[str], file: str) -> None:
    known = tuple(known)
    for name in block.columns:
        if name not in known:
            hint = did_you_mean(name, known)
            raise _error(f"@{block.name} has no column {name!r}. {hint}", block.line, file)


def _error(message: str, line: int, file: str) -> UsageError:
    place = f"{file or 'example'}:{line}"
    return UsageError(f"{place}: {message.strip()}" + ("" if message.strip()[-1] in ".?" else "."))


# --- tables ----------------------------------------------------------------------------------


def _table(dataset: Dataset, block: _Block, source: str, file: str) -> pa.Table:
    import pyarrow as pa

    _require_columns(block, dataset.column_names, file)
    columns = []
    for column in dataset.columns:
        if column.name in block.columns:
            values = [
                _value(column, row[column.name], f"@{block.name}", line, file)
                for line, row in block.rows
            ]
        else:
            values = [
                _filled(dataset, column, number, source) for number in range(1, len(block.rows) + 1)
            ]
        columns.append(pa.array(values, column.arrow_type))
    return pa.Table.from_arrays(columns, schema=dataset.arrow_schema())


def _filled(dataset: Dataset, column: Column, number: int, source: str) -> Any:
    """What stands in a column that the example does not show."""
    if column.name == "source":
        return source
    if column.name in _NUMBERED:
        return str(number)
    if column.default is not None:
        return column.default
    if column.nullable:
        return None
    return _OWN_DEFAULTS.get((dataset.name, column.name), _BLANKS[column.type])


def _value(column: Column, text: str, where: str, line: int, file: str) -> Any:
    if not text:
        return None
    try:
        return _CONVERTERS[column.type](text)
    except (KeyError, ValueError, InvalidOperation):
        raise _error(
            f"{where}: {text!r} is no {column.type} for the column {column.name!r}", line, file
        ) from None


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


_CONVERTERS: Mapping[str, Callable[[str], Any]] = {
    "string": str,
    "bool": lambda text: {"true": True, "false": False}[text],
    "int": int,
    "float": float,
    "money": Decimal,
    "date": date.fromisoformat,
    "timestamp": _instant,
}


# --- expected values and settings ------------------------------------------------------------


def _expectation(row: Mapping[str, str], line: int, file: str) -> Expectation:
    try:
        return Expectation(
            kpi=row["kpi"],
            value=float(row["value"]) if row.get("value") else None,
            period=row.get("period") or PERIOD,
            by=tuple(part for part in row.get("by", "").split(";") if part),
            segment=_pairs(row.get("segment", "")),
            as_of=row.get("as_of", ""),
            status=row.get("status", ""),
            n=int(row["n"]) if row.get("n") else None,
            coverage={key: float(value) for key, value in _pairs(row.get("coverage", "")).items()},
            line=line,
        )
    except (KeyError, ValueError) as exc:
        raise _error(f"@expected: this row cannot be read ({exc})", line, file) from None


def _pairs(text: str) -> dict[str, str]:
    """`a=1;b=2` as a mapping."""
    found = {}
    for part in filter(None, text.split(";")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"expected NAME=VALUE, found {part!r}")
        found[name.strip()] = value.strip()
    return found


def _setting(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
