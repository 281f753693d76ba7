"""The result table: long form, one row per KPI, variant, period and segment (design section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

STATUSES = (
    "missing_dataset",
    "missing_column",
    "no_data",
    "target_met",
    "no_churn",
    "no_invitations",
    "partial",
    "maturing",
    "not_reproducible",
    "stale",
    "ok",
)
"""Statuses from the strongest to the weakest (rule N6); one is the row's status, further ones that
hold stand in its flags."""

STATUSES_OF_WANT = ("missing_dataset", "missing_column")
"""Statuses of what the loaded data cannot tell at all."""

UNITS = (
    "percent",
    "ratio",
    "currency",
    "currency_per_day",
    "count",
    "days",
    "seconds",
    "score",
    "points",
)


def result_schema() -> pa.Schema:
    """The Arrow schema of results.

    value, numerator, denominator, previous_value: float64 in the stored unit (percent as a
    fraction, money in the reporting currency). change: points for percent KPIs, else relative.
    segment: map dimension -> value, empty for the total. coverage: map of named counts (Q6).
    """
    import pyarrow as pa

    instant = pa.timestamp("us", tz="UTC")
    fields: list[tuple[str, pa.DataType]] = [
        ("kpi", pa.string()),
        ("variant", pa.string()),
        ("period_start", pa.date32()),
        ("period_end", pa.date32()),
        ("grain", pa.string()),
        ("segment", pa.map_(pa.string(), pa.string())),
        ("value", pa.float64()),
        ("unit", pa.string()),
        ("status", pa.string()),
        ("numerator", pa.float64()),
        ("denominator", pa.float64()),
        ("n", pa.int64()),
        ("interval_low", pa.float64()),
        ("interval_high", pa.float64()),
        ("previous_value", pa.float64()),
        ("change", pa.float64()),
        ("year_ago_value", pa.float64()),
        ("year_ago_change", pa.float64()),
        ("goal", pa.string()),
        ("goal_target", pa.float64()),
        ("goal_attainment", pa.float64()),
        ("goal_status", pa.string()),
        ("coverage", pa.map_(pa.string(), pa.float64())),
        ("flags", pa.list_(pa.string())),
        ("definition_hash", pa.string()),
        ("as_of", instant),
        ("run_id", pa.string()),
        ("computed_at", instant),
    ]
    return pa.schema(fields)
