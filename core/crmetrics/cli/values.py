"""Numbers as a table shows them. The words for a value are those of every message
(`crmetrics.deliver.wording`), so that a number reads the same on the screen and in chat."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from crmetrics.deliver.wording import value_text

NO_VALUE = "-"

Tone = Literal["better", "worse", ""]


def format_value(value: float | None, unit: str, currency: str = "") -> str:
    """`31.6 %`, `12,345 USD`, `2 h 5 min`; `-` when there is no value, never 0.

    value: in the stored unit (percent as a fraction, seconds, days, reporting currency).
    """
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return value_text(value, unit, currency)


def format_change(
    value: float | None, former: float | None, change: float | None, unit: str
) -> str:
    """`+3.1 pts` for percent KPIs, `-4.0 %` for all others; empty when nothing was compared.

    value, former: fractions of a percent KPI. change: the relative change of all others.
    """
    if unit == "percent":
        moved = None if value is None or former is None else _exact(value) - _exact(former)
    else:
        moved = None if change is None or not math.isfinite(change) else _exact(change)
    if moved is None:
        return ""
    rounded = (moved * 100).quantize(Decimal("0.1"), ROUND_HALF_EVEN)
    sign = "+" if rounded > 0 else ""
    return f"{sign}{abs(rounded) if rounded.is_zero() else rounded:,} " + (
        "pts" if unit == "percent" else "%"
    )


def tone_of(change: float | None, better: str) -> Tone:
    """Whether a change is good news; empty when there is none or the KPI has no direction."""
    if not change or not math.isfinite(change) or better not in ("higher", "lower"):
        return ""
    return "better" if (change > 0) == (better == "higher") else "worse"


def format_count(number: float | None) -> str:
    """A count with thousands; `-` when it is not known."""
    return format_value(number, "count")


def _exact(value: float) -> Decimal:
    # By its shortest decimal text: 0.0625 is 6.25 %, not 6.2500000000000004 %.
    return Decimal(repr(float(value)))
