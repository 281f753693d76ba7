"""KPI results as a table for people: one line per KPI, period and segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from crmetrics.cli.text_table import Cell, Heading, Style, TextTable
from crmetrics.cli.values import NO_VALUE, format_change, format_count, format_value, tone_of
from crmetrics.message import GOAL_WORDS

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.catalog import Kpi
    from crmetrics.engine import Project
    from crmetrics.periods import Calendar

TOTAL = "(total)"
_TONE_STYLES: Mapping[str, Style] = {"better": "good", "worse": "bad", "": ""}
_GOAL_STYLES: Mapping[str, Style] = {
    "achieved": "good",
    "on_track": "good",
    "at_risk": "warning",
    "off_track": "bad",
    "breached_guardrail": "bad",
}


class ResultView(Struct, frozen=True):
    """What the table needs beside the rows.

    kpis: definitions by id, for titles and the direction that is better; an id that is not there
    is shown as it is.
    """

    calendar: Calendar
    currency: str = ""
    kpis: Mapping[str, Kpi] = field(default_factory=dict)

    def title(self, row: Mapping[str, Any]) -> str:
        kpi = self.kpis.get(row["kpi"])
        name = kpi.title if kpi else row["kpi"]
        variant = row["variant"]
        if not variant:
            return name
        known = kpi.variants.get(variant) if kpi else None
        return f"{name} ({(known.title if known else '') or variant})"

    def better(self, row: Mapping[str, Any]) -> str:
        kpi = self.kpis.get(row["kpi"])
        return kpi.better if kpi else "none"

    def period(self, row: Mapping[str, Any]) -> str:
        from crmetrics.periods import GRAINS, Period

        start, end, grain = row["period_start"], row["period_end"], row["grain"]
        if grain in GRAINS:
            period = self.calendar.period_of(start, grain)
            if period.end == end:
                return self.calendar.label(period)
        return str(Period(start, end, grain))


def view_of(project: Project) -> ResultView:
    """How the results of a project read."""
    return ResultView(project.calendar, project.config.reporting.currency, project.catalog.kpis)


class _Column(Struct, frozen=True):
    heading: Heading
    cell: Callable[[Mapping[str, Any]], Cell]


def result_table(results: pa.Table, view: ResultView, *, title: str = "") -> TextTable:
    """The table of `results` (`results.result_schema()`, in its order).

    A column that no row fills (change, goal, segment) is left out. A null value is `-` with its
    status beside it, never 0.
    """
    rows = [_plain_row(row) for row in results.to_pylist()]
    columns = _columns(rows, view)
    return TextTable(
        tuple(column.heading for column in columns),
        tuple(tuple(column.cell(row) for column in columns) for row in rows),
        title,
    )


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "segment": dict(row["segment"] or ()), "flags": row["flags"] or []}


def _columns(rows: Sequence[Mapping[str, Any]], view: ResultView) -> list[_Column]:
    def right(text: str, cell: Callable[[Mapping[str, Any]], Cell]) -> _Column:
        return _Column(Heading(text, "right"), cell)

    def filled(name: str) -> bool:
        return any(row[name] is not None for row in rows)

    columns = [
        _Column(Heading("KPI"), lambda row: Cell(view.title(row))),
        _Column(Heading("Period"), lambda row: Cell(view.period(row))),
        *_segment_columns(rows),
        right("Value", lambda row: _value(row, "value", view)),
    ]
    if filled("change"):
        columns.append(right("Change", lambda row: _change(row, "change", "previous_value", view)))
    if filled("year_ago_change"):
        columns.append(
            right(
                "On year ago",
                lambda row: _change(row, "year_ago_change", "year_ago_value", view),
            )
        )
    if filled("goal_target"):
        columns.append(right("Target", lambda row: _value(row, "goal_target", view, empty="")))
    if filled("goal_status"):
        columns.append(_Column(Heading("Goal"), _goal))
    columns.append(right("n", lambda row: Cell(format_count(row["n"]))))
    columns.append(_Column(Heading("Status"), _status))
    return columns


def _segment_columns(rows: Iterable[Mapping[str, Any]]) -> list[_Column]:
    dimensions = list(dict.fromkeys(name for row in rows for name in row["segment"]))
    return [
        _Column(Heading(name), _segment_cell(name, is_first=not position))
        for position, name in enumerate(dimensions)
    ]


def _segment_cell(dimension: str, *, is_first: bool) -> Callable[[Mapping[str, Any]], Cell]:
    def cell(row: Mapping[str, Any]) -> Cell:
        if not row["segment"] and is_first:
            return Cell(TOTAL, "dim")
        return Cell(row["segment"].get(dimension, ""))

    return cell


def _value(row: Mapping[str, Any], name: str, view: ResultView, *, empty: str = NO_VALUE) -> Cell:
    value = row[name]
    return Cell(empty if value is None else format_value(value, row["unit"], view.currency))


def _change(row: Mapping[str, Any], name: str, former: str, view: ResultView) -> Cell:
    if row[name] is None:
        return Cell("")
    tone = tone_of(row[name], view.better(row))
    text = format_change(row["value"], row[former], row[name], row["unit"])
    return Cell(f"{text} {tone}".strip(), _TONE_STYLES[tone])


def _goal(row: Mapping[str, Any]) -> Cell:
    status = row["goal_status"] or ""
    return Cell(GOAL_WORDS.get(status, status), _GOAL_STYLES.get(status, ""))


def _status(row: Mapping[str, Any]) -> Cell:
    marks = [row["status"], *row["flags"]]
    text = ", ".join(dict.fromkeys(mark.replace("_", " ") for mark in marks if mark))
    return Cell(text, "" if marks == ["ok"] else "warning")
