"""Deliveries for tests of sinks: a result table and a message, small and hostile on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from crmetrics.message import Breakdown, KpiLine, Message, SegmentLine
from crmetrics.plugin import Delivery
from crmetrics.results import result_schema

if TYPE_CHECKING:
    import pyarrow as pa

COMPUTED_AT = datetime(2026, 2, 2, 8, tzinfo=UTC)

HOSTILE = 'Ünïcødé 日本 🚀 "quoted", comma; <b>&amp;</b> | *bold* _it_ `code` =1+1\nsecond line'
"""A text that breaks what does not escape."""

_ROWS: Sequence[Mapping[str, Any]] = (
    {"kpi": "win_rate", "unit": "percent", "value": 0.4321, "numerator": 35.0, "denominator": 81.0,
     "n": 81, "previous_value": 0.4, "change": 0.0321},
    {"kpi": "won_amount", "unit": "currency", "value": 1_234_567.89, "n": 35,
     "coverage": [("missing_amount", 2.0), ("missing_rate", 1.0)]},
    {"kpi": "average_deal_size", "variant": "median", "unit": "currency", "value": None,
     "status": "no_data", "flags": ["partial", "low_sample"]},
    {"kpi": "win_rate", "unit": "percent", "value": 0.5, "n": 4,
     "segment": [("owner.team", HOSTILE), ("account.segment", "(none)")]},
)  # fmt: skip


_TEAMS = (
    SegmentLine({"owner.team": HOSTILE}, 0.5, "50.0 %", tone="good", n=81),
    SegmentLine({"owner.team": "(none)"}, None, "-", n=6),
)

_LINES = (
    KpiLine(
        "win_rate",
        "Win rate",
        "percent",
        0.4321,
        "43.2 %",
        change_text="up 3.2 points on the month before",
        tone="good",
        goal_text="goal 45 %: on track",
        goal_status="on_track",
        target=0.45,
        n=81,
        series=(0.38, None, 0.4, 0.4321),
        series_labels=("2025-10", "2025-11", "2025-12", "2026-01"),
        breakdowns=(Breakdown(("owner.team",), _TEAMS, further=3, driver=_TEAMS[0]),),
    ),
    KpiLine(
        "average_deal_size",
        "Average deal size",
        "currency",
        None,
        "-",
        status="no_data",
        status_text="no deals",
        tone="warning",
        coverage_text="2 without an amount",
        guardrail_text="limit 9,000: not checked",
        flags=("low_sample",),
        variant="median",
    ),
)


def _month_end(start: date) -> date:
    return date(start.year + start.month // 12, start.month % 12 + 1, 1)


def results_table(
    rows: Sequence[Mapping[str, Any]] = _ROWS, *, start: date = date(2026, 1, 1)
) -> pa.Table:
    """A result table (`results.result_schema()`) with these rows for one month.

    What a row does not say is filled: no variant, the empty segment, status `ok`, null numbers.
    """
    import pyarrow as pa

    filled = {
        "variant": "",
        "period_start": start,
        "period_end": _month_end(start),
        "grain": "month",
        "segment": [],
        "status": "ok",
        "goal": "",
        "goal_status": "",
        "coverage": [],
        "flags": [],
        "definition_hash": "0123456789abcdef",
        "as_of": COMPUTED_AT,
        "run_id": "run-1",
        "computed_at": COMPUTED_AT,
    }
    schema = result_schema()
    complete = [{name: {**filled, **row}.get(name) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(complete, schema=schema)


def sample_message(*, title: str = "Monthly sales", start: date = date(2026, 1, 1)) -> Message:
    """A message on one month that uses every part of the model, hostile text included."""
    return Message(
        title=title,
        headline=f"{title}: win rate 43.2 %, up 3.2 points.",
        period_label=f"{start:%Y-%m}",
        period_start=start.isoformat(),
        period_end=_month_end(start).isoformat(),
        tone="good",
        kpis=_LINES,
        notes=(f"2 of 3 datasets are fresh. {HOSTILE}",),
        footer=(f"{start:%Y-%m} · UTC · USD", "definitions 01234567"),
        created_at=COMPUTED_AT,
    )


def sample_delivery(
    *,
    key: str = "monthly_sales/2026-01/test",
    start: date = date(2026, 1, 1),
    results: pa.Table | None = None,
    message: Message | None = None,
    **changes: Any,
) -> Delivery:
    """What a sink is given for one month; `changes` replace further fields of the delivery."""
    table = results_table(start=start) if results is None else results
    delivery = Delivery(
        key=key,
        run_id="run-1",
        job="monthly_sales",
        results=table,
        message=message or sample_message(start=start),
        period_start=start,
        period_end=_month_end(start),
        grain="month",
    )
    return replace(delivery, **changes)


def empty_delivery() -> Delivery:
    """A delivery without a single result, as of a job whose sources hold nothing yet."""
    message = Message("Monthly sales", "Monthly sales: no numbers yet.", "2026-01", "2026-01-01",
                      "2026-02-01", tone="warning", created_at=COMPUTED_AT)  # fmt: skip
    return sample_delivery(
        key="monthly_sales/2026-01/empty", results=result_schema().empty_table(), message=message
    )
