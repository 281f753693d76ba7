"""Numbers and states in plain words: one wording for every message.

Values are rounded here and only here, half to even (rule N4).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import pairwise

from crmetrics.goals import Alert, GoalVerdict, KpiTraits, Trend
from crmetrics.message import GOAL_WORDS

_WIDE = Context(prec=400)  # any float has fewer digits
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_WHOLE_FROM = 1000  # amounts from here on are shown without cents

_STATUS_WORDS: Mapping[str, str] = {
    "missing_dataset": "not available: a dataset it needs does not cover this period",
    "missing_column": "not available: a column it needs is not delivered",
    "no_data": "no data: nothing to measure in this period",
    "target_met": "nothing left to cover: the target is met",
    "no_churn": "no churn in this period",
    "no_invitations": "no invitations were sent",
    "partial": "so far: the period is not over",
    "maturing": "may still change: its window is not over",
    "not_reproducible": "not reproducible: records it reads were changed since",
    "stale": "old data: a source was not read for too long",
    "is_projection": "a projection",
}

_LEFT_OUT_WORDS: Mapping[str, str] = {
    "missing_rate": "without an exchange rate",
    "out_of_scale": "out of scale",
    "invalid_duration": "with an invalid duration",
}

_WORTH_TELLING = 3  # periods in a row that moved the same way


# --- values ----------------------------------------------------------------------------------


def value_text(value: float | None, unit: str, currency: str) -> str:
    """A value as people read it: `40.0 %`, `12,500 USD`, `1 h 30 min`; None is `no value`."""
    if value is None or not math.isfinite(value):
        return "no value"
    if unit == "percent":
        return f"{_rounded(Decimal(repr(value)) * 100, 1)} %"
    if unit in ("currency", "currency_per_day"):
        amount = _amount(value)
        return (
            f"{amount} {currency} per day" if unit == "currency_per_day" else f"{amount} {currency}"
        )
    if unit == "seconds":
        return _duration(value)
    if unit == "days":
        return f"{_rounded(value, 1)} days" if abs(value) >= 1 else _duration(value * _DAY)
    if unit == "count":
        return _rounded(value, 0 if value == int(value) else 2)
    return _rounded(value, 1 if unit in ("points", "score") else 2)


def _amount(value: float) -> str:
    return _rounded(value, 0 if abs(value) >= _WHOLE_FROM else 2)


def _rounded(value: float | Decimal, places: int) -> str:
    """With thousands separators, half to even on the decimal that the float stands for."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    rounded = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, context=_WIDE)
    return f"{abs(rounded) if rounded.is_zero() else rounded:,.{places}f}"


def _duration(seconds: float) -> str:
    """The two largest units: `45 s`, `12 min 30 s`, `1 h 30 min`, `2 d 4 h`."""
    whole = _to_step(Decimal(repr(abs(seconds))), 1)
    if whole >= _HOUR:
        # Rounded before it is split: 59 min 59.9 s must not read as `59 min 60 s`.
        whole = _to_step(Decimal(whole), _HOUR if whole >= _DAY else _MINUTE)
    sign = "-" if seconds < 0 and whole else ""
    units = (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", 1))
    for (name, size), (smaller, step) in pairwise(units):
        if whole >= size:
            count, rest = divmod(whole, size)
            return f"{sign}{count:,} {name}" + (f" {rest // step} {smaller}" if rest else "")
    return f"{sign}{whole} s"


def _to_step(value: Decimal, step: int) -> int:
    return int((value / step).quantize(Decimal(1), ROUND_HALF_EVEN, context=_WIDE)) * step


# --- changes ---------------------------------------------------------------------------------


def change_words(value: float, previous: float, change: float, unit: str) -> str:
    """`up 3.1 points` for percent KPIs, `down 12.4 %` for all others (rule P8).

    change: the relative change as computed; for percent KPIs the points are value - previous.
    """
    if unit == "percent":
        moved, suffix = (Decimal(repr(value)) - Decimal(repr(previous))) * 100, "points"
    else:
        moved, suffix = Decimal(repr(change)) * 100, "%"
    if not moved:
        return "unchanged"
    size = _rounded(abs(moved), 1)
    if Decimal(size.replace(",", "")) == 0:
        return "almost unchanged"
    return f"{'up' if moved > 0 else 'down'} {size} {suffix}"


def compared_with(words: str, base: str) -> str:
    """`up 3.1 points` + `the week before` -> `up 3.1 points on the week before`."""
    return f"{words} {'from' if words.endswith('unchanged') else 'on'} {base}"


# --- series ----------------------------------------------------------------------------------


def trend_words(trend: Trend | None, grain: str, unit: str, currency: str) -> str:
    """`rising over 13 months, by 1.2 points a month, the last 4 in a row` (rule A1); empty where no
    trend can be told."""
    if trend is None or trend.heading == "none":
        return ""
    step = value_text(abs(trend.slope), unit, currency)
    if unit == "percent":
        step = f"{_rounded(abs(Decimal(repr(trend.slope))) * 100, 1)} points"
    words = [f"{trend.heading} over {trend.periods} {grain}s", f"by {step} a {grain}"]
    same_way = trend.run * (1 if trend.heading == "rising" else -1)
    if same_way >= _WORTH_TELLING:
        words.append(f"the last {same_way} in a row")
    if not trend.is_tested:
        words.append("too few to be sure")
    return ", ".join(words)


def alert_words(alert: Alert | None, grain: str, unit: str, currency: str) -> str:
    """`unusually low: 55.0 % is typical of the 12 months before` (rule A2), with `still` when the
    period before was it too; empty without an alert."""
    if alert is None:
        return ""
    again = "" if alert.is_new else "still "
    if alert.typical is None:
        side = "below" if alert.side == "low" else "above"
        return f"{again}{side} the limit of {value_text(alert.limit, unit, currency)}"
    typical = value_text(alert.typical, unit, currency)
    compared = f"{alert.periods} {'same weekdays' if grain == 'day' else f'{grain}s'} before"
    return f"{again}unusually {alert.side}: {typical} is typical of the {compared}"


# --- states ----------------------------------------------------------------------------------


def status_words(status: str, flags: Collection[str], n: int | None) -> str:
    """What the reader must know of a value's state; empty when there is nothing to say."""
    found = [_STATUS_WORDS[name] for name in (status, *flags) if name in _STATUS_WORDS]
    if "low_sample" in flags:
        found.append("small sample" + (f" (n = {n:,})" if n is not None else ""))
    if "before_effective_date" in flags:
        found.append("before the definition was agreed")
    if is_contradicted(flags):
        found.append("contradicts other figures, see the notes")
    return "; ".join(dict.fromkeys(found))


def is_contradicted(flags: Collection[str]) -> bool:
    """Whether an identity with other KPIs is broken (rule Q5)."""
    return any(flag.startswith("broken_identity") for flag in flags)


def coverage_share(coverage: Mapping[str, float]) -> float | None:
    """Rows used / (used + left out for quality reasons); None when the counts do not tell (Q1)."""
    used = coverage.get("rows_used")
    if used is None:
        return None
    left_out = sum(_left_out(coverage).values())
    return used / (used + left_out) if used + left_out else None


def coverage_words(coverage: Mapping[str, float], min_coverage: float) -> str:
    """Which rows were left out and why; led by a mark when too many were. Empty when none."""
    left_out = _left_out(coverage)
    if not left_out:
        return ""
    reasons = ", ".join(f"{count:,.0f} {_reason(name)}" for name, count in left_out.items())
    share = coverage_share(coverage)
    if share is not None and share < min_coverage:
        percent = _rounded(Decimal(repr(share)) * 100, 1)
        return f"low coverage: only {percent} % of the rows could be used; left out: {reasons}"
    return f"left out: {reasons}"


def _left_out(coverage: Mapping[str, float]) -> dict[str, float]:
    return {
        name: count
        for name, count in coverage.items()
        if count > 0 and (name.startswith("missing_") or name in _LEFT_OUT_WORDS)
    }


def _reason(name: str) -> str:
    return _LEFT_OUT_WORDS.get(name) or f"without {name.removeprefix('missing_')}"


# --- goals -----------------------------------------------------------------------------------


def goal_words(verdict: GoalVerdict, unit: str, currency: str) -> str:
    """A goal in one line: how far, to what, until when, how it stands, whose it is (A4)."""
    goal = verdict.goal
    target = value_text(float(goal.target), unit, currency)
    if verdict.attainment is None or not verdict.status:
        reason = f": {verdict.reason}" if verdict.reason else ""
        stand = f"{target} by {goal.due}, not judged{reason}"
    else:
        share = _rounded(Decimal(repr(verdict.attainment)) * 100, 1)
        expected = _rounded(Decimal(repr(verdict.expected)) * 100, 1)
        baseline = value_text(float(goal.baseline), unit, currency)
        actual = value_text(verdict.actual, unit, currency)
        # Beside the value of the reported period another one needs its days to be believed.
        begun = f"{actual} since {verdict.since}, " if verdict.since else ""
        stand = (
            f"{begun}{share} % of the way from {baseline} to {target} by {goal.due} "
            f"(expected {expected} %), {GOAL_WORDS[verdict.status]}"
        )
    owner = f", owner {goal.owner}" if goal.owner else ""
    return f"{goal.title}: {stand}{owner}"


def guardrail_words(verdict: GoalVerdict, traits: Mapping[str, KpiTraits], currency: str) -> str:
    """The guardrails of a goal: broken ones first, then those that could not be checked."""
    broken, unchecked, kept = [], [], []
    for guardrail in verdict.guardrails:
        known = traits.get(guardrail.kpi) or KpiTraits(guardrail.kpi)
        if guardrail.value is None:
            unchecked.append(f"{known.title} could not be checked")
            continue
        shown = f"{known.title} {value_text(guardrail.value, known.unit, currency)}"
        if not guardrail.is_broken:
            kept.append(f"{shown} is within its limit")
            continue
        is_low = guardrail.min is not None and guardrail.value < guardrail.min
        limit = value_text(guardrail.min if is_low else guardrail.max, known.unit, currency)
        if guardrail.since:
            shown = f"{shown} since {guardrail.since}"
        broken.append(f"{shown} is {'below' if is_low else 'above'} its limit of {limit}")
    return "; ".join([*broken, *unchecked, *kept])
