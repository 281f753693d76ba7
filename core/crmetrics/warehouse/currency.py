"""The one rule by which an amount becomes one of the reporting currency."""

from __future__ import annotations

from crmetrics.warehouse.placeholders import literal


def converted(amount_sql: str, currency_sql: str, rate_sql: str | None, reporting: str) -> str:
    """`amount_sql` in the reporting currency, as decimal(28, 10).

    A null currency is the reporting one (rule C4). rate_sql: the rate of the day that counts,
    usually from `rates_by_day`; None when no rates are loaded. Null where the rate is missing: the
    caller counts such a row as `missing_rate`.
    """
    own = f"{currency_sql} is null or {currency_sql} = {literal(reporting)}"
    text = f"case when {own} then {amount_sql}::decimal(28, 10)"
    if rate_sql is not None:
        text += f" else ({amount_sql} * {rate_sql})::decimal(28, 10)"
    return text + " end"
