"""Results as a table for people."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa

from crmetrics.catalog.definition import Kpi, Measure, Variant
from crmetrics.cli.result_table import ResultView, result_table
from crmetrics.cli.text_table import plain_text
from crmetrics.periods import Calendar
from crmetrics.results import result_schema

WIN_RATE = Kpi(
    "win_rate",
    "sales",
    "Win rate",
    "What share did we win?",
    "percent",
    "higher",
    {"": Variant("", Measure()), "by_amount": Variant("by_amount", Measure(), title="by amount")},
)
VIEW = ResultView(Calendar(), "USD", {"win_rate": WIN_RATE})
NO_ROW: dict[str, Any] = {
    "kpi": "win_rate",
    "variant": "",
    "period_start": date(2026, 1, 1),
    "period_end": date(2026, 2, 1),
    "grain": "month",
    "segment": [],
    "value": 0.316,
    "unit": "percent",
    "status": "ok",
    "n": 1200,
    "flags": [],
}


def shown(*rows: dict[str, Any]) -> list[list[str]]:
    """The cells of the table of these rows, headings first."""
    table = pa.Table.from_pylist([NO_ROW | row for row in rows], schema=result_schema())
    text = result_table(table, VIEW)
    return [[h.text for h in text.headings], *([c.text for c in row] for row in text.rows)]


def test_a_row_shows_title_period_value_n_and_status() -> None:
    assert shown({}) == [
        ["KPI", "Period", "Value", "n", "Status"],
        ["Win rate", "2026-01", "31.6 %", "1,200", "ok"],
    ]


def test_a_null_value_is_a_dash_with_its_status() -> None:
    row = shown({"value": None, "n": None, "status": "no_data", "flags": ["partial"]})[1]
    assert row[2:] == ["-", "-", "no data, partial"]


def test_each_dimension_is_a_column_and_the_empty_segment_is_the_total() -> None:
    table = shown({"segment": [("owner.team", "EMEA"), ("lead_source", "(none)")]}, {"segment": []})
    assert table[0][2:4] == ["owner.team", "lead_source"]
    assert [row[2:4] for row in table[1:]] == [["EMEA", "(none)"], ["(total)", ""]]


def test_a_variant_is_named_by_its_title_or_its_name() -> None:
    rows = shown({"variant": "by_amount"}, {"variant": "gone"})[1:]
    assert [row[0] for row in rows] == ["Win rate (by amount)", "Win rate (gone)"]


def test_an_unknown_kpi_is_shown_by_its_id() -> None:
    assert shown({"kpi": "old_kpi"})[1][0] == "old_kpi"


def test_change_and_year_ago_come_only_when_a_row_has_them() -> None:
    table = shown(
        {
            "value": 0.316,
            "previous_value": 0.285,
            "change": 0.031,
            "year_ago_value": 0.336,
            "year_ago_change": -0.02,
        },
        {},
    )
    assert table[0][3:5] == ["Change", "On year ago"]
    assert [row[3:5] for row in table[1:]] == [["+3.1 pts better", "-2.0 pts worse"], ["", ""]]


def test_a_goal_shows_its_target_and_status() -> None:
    table = shown({"goal_target": 0.4, "goal_status": "breached_guardrail"})
    assert table[0][3:5] == ["Target", "Goal"]
    assert table[1][3:5] == ["40.0 %", "guardrail broken"]


def test_a_range_that_is_no_calendar_period_shows_its_days() -> None:
    assert shown({"period_end": date(2026, 1, 20)})[1][1] == "2026-01-01..2026-01-20"


def test_no_rows_give_only_headings() -> None:
    table = result_table(result_schema().empty_table(), VIEW)
    assert plain_text(table).splitlines()[0] == "KPI  Period  Value  n  Status"
