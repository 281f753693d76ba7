"""Result tables and deliveries, built row by row where a test needs them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from crmetrics.message import Breakdown, KpiLine, Message, SegmentLine
from crmetrics.periods import Calendar, Period
from crmetrics.plugin import Delivery
from crmetrics.results import result_schema

CALENDAR = Calendar("Europe/Berlin")
WEEK = Period(date(2026, 1, 26), date(2026, 2, 2), "week")
AS_OF = datetime(2026, 2, 2, 7, 0, tzinfo=UTC)

_ROW: dict[str, Any] = {
    "variant": "",
    "period_start": WEEK.start,
    "period_end": WEEK.end,
    "grain": "week",
    "segment": {},
    "unit": "count",
    "status": "ok",
    "coverage": {},
    "flags": [],
    "definition_hash": "0123456789abcdef",
    "as_of": AS_OF,
    "run_id": "run-1",
    "computed_at": AS_OF,
}


def table(*rows: dict[str, Any]) -> pa.Table:
    """A result table; each row names what matters, the rest is an unremarkable week."""
    full = []
    for row in rows:
        values = {**_ROW, **row}
        for column in ("segment", "coverage"):
            values[column] = list(values[column].items())
        full.append(values)
    return pa.Table.from_pylist(full, schema=result_schema())


def kpi(kpi: str = "win_rate", value: float | None = 0.4, **columns: Any) -> dict[str, Any]:
    """One result row."""
    return {"kpi": kpi, "value": value, **columns}


def message(*lines: KpiLine, **parts: Any) -> Message:
    """A report of the week with these lines."""
    values: dict[str, Any] = {
        "title": "acme: weekly sales 2026-W05",
        "headline": "acme: weekly sales 2026-W05: Win rate 40.0 %.",
        "period_label": "2026-W05",
        "period_start": "2026-01-26",
        "period_end": "2026-02-02",
        "kpis": lines or (line(),),
        "footer": ("Period 2026-W05 (2026-01-26 to 2026-02-01)", "Currency USD"),
    }
    return Message(**{**values, **parts})


def line(title: str = "Win rate", **parts: Any) -> KpiLine:
    values: dict[str, Any] = {
        "kpi": "win_rate",
        "title": title,
        "unit": "percent",
        "value": 0.4,
        "value_text": "40.0 %",
    }
    return KpiLine(**{**values, **parts})


def breakdown(*names: str, dimension: str = "owner.team", **parts: Any) -> Breakdown:
    """Groups of 40 % each, of ten people each."""
    segments = tuple(SegmentLine({dimension: name}, 0.4, "40.0 %", n=10) for name in names)
    return Breakdown((dimension,), segments, **parts)


def delivery(
    results: pa.Table | None = None, report: Message | None = None, **parts: Any
) -> Delivery:
    values: dict[str, Any] = {
        "key": "key-1",
        "run_id": "run-1",
        "job": "weekly_sales",
        "results": table(kpi(unit="percent")) if results is None else results,
        "message": report or message(),
        "period_start": WEEK.start,
        "period_end": WEEK.end,
        "grain": "week",
    }
    return Delivery(**{**values, **parts})
