"""One KPI of a report: its total, its groups, its goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from crmetrics.deliver.sensitivity import detail_of
from crmetrics.deliver.wording import (
    alert_words,
    change_words,
    compared_with,
    coverage_share,
    coverage_words,
    goal_words,
    guardrail_words,
    is_contradicted,
    status_words,
    trend_words,
    value_text,
)
from crmetrics.goals import Alert, GoalVerdict, KpiTraits, Trend
from crmetrics.message import Breakdown, KpiLine, Note, SegmentLine, Tone
from crmetrics.periods import Calendar, Period

Row = Mapping[str, Any]
"""A result row; segment and coverage are dicts, flags a tuple."""

Series = Sequence[tuple[date, float | None]]
"""(first day of the period, value), oldest first."""

_SEGMENTS_SHOWN = 10  # S3: in messages and charts
_PERIODS_SHOWN = 13
_UNAVAILABLE = ("missing_dataset", "missing_column")
_UNCERTAIN = frozenset({"low_sample", "partial", "maturing"})
_ROUNDING = 1e-6  # share by which groups may miss the total and still add up to it


@dataclass(frozen=True, slots=True)
class Facts:
    """What a message says beside the numbers.

    period: the reported one. where: the job's filter. is_partial: a source or dataset that the
    job needs is missing. notes: what else the reader must know of the data. has_totals: the job
    asks for totals beside its groups.
    """

    job: str
    project: str
    calendar: Calendar
    period: Period
    as_of: datetime
    currency: str
    where: str = ""
    is_partial: bool = False
    notes: tuple[Note, ...] = ()
    min_coverage: float = 0.95
    created_at: datetime | None = None
    has_totals: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything known of one KPI or variant of the report. alerts: by segment as JSON text."""

    rows: Sequence[Row]
    traits: KpiTraits
    verdicts: Sequence[GoalVerdict] = ()
    series: Series = ()
    trend: Trend | None = None
    alerts: Mapping[str, Alert] = field(default_factory=dict)

    @property
    def total(self) -> Row | None:
        return next((row for row in self.rows if not row["segment"]), None)


def kpi_line(entry: Entry, facts: Facts, traits: Mapping[str, KpiTraits]) -> KpiLine:
    """The line of one KPI; traits: of all KPIs, for the names of guardrails."""
    total = entry.total
    row = total or entry.rows[0]
    line = KpiLine(
        kpi=row["kpi"],
        variant=row["variant"] or "",
        title=entry.traits.title,
        unit=row["unit"] or entry.traits.unit,
        value=None,
        value_text="",
        is_about_users=entry.traits.is_about_users,
    )
    line = replace(line, breakdowns=_breakdowns(line.unit, entry, facts))
    if total is not None:
        line = _with_total(line, total, entry, facts)
        line = replace(line, lacks_groups=not (facts.has_totals or line.breakdowns))
    else:
        line = _without_total(line, entry)
    return _with_goals(line, entry, facts, traits)


# --- the total -------------------------------------------------------------------------------


def _with_total(line: KpiLine, row: Row, entry: Entry, facts: Facts) -> KpiLine:
    first, grain = facts.period.start, facts.period.grain
    past = [(day, value) for day, value in entry.series if day < first]
    values = [*past, (first, row["value"])][-_PERIODS_SHOWN:]
    calendar = facts.calendar
    alert = entry.alerts.get(row["place"])
    tone = _tone(row, line.unit, entry.traits, facts.min_coverage)
    return replace(
        line,
        value=row["value"],
        value_text=value_text(row["value"], line.unit, facts.currency),
        status=row["status"],
        status_text=status_words(row["status"], row["flags"], row["n"]),
        change_text=_comparisons(row, line.unit, grain),
        tone=_alert_tone(alert, entry.traits, tone),
        trend_text=trend_words(entry.trend, grain, line.unit, facts.currency),
        alert_text=alert_words(alert, grain, line.unit, facts.currency),
        is_new_alert=alert is not None and alert.is_new,
        coverage_text=coverage_words(row["coverage"], facts.min_coverage),
        flags=row["flags"],
        n=row["n"],
        series=tuple(value for _, value in values),
        series_labels=tuple(calendar.label(calendar.period_of(day, grain)) for day, _ in values),
    )


def _without_total(line: KpiLine, entry: Entry) -> KpiLine:
    """A KPI that was computed for groups only: its groups hold the values."""
    has_values = any(row["value"] is not None for row in entry.rows)
    status = "ok" if has_values else entry.rows[0]["status"]
    words = "; ".join(f"by {', '.join(one.dimensions)}" for one in line.breakdowns)
    if not has_values:
        words = status_words(status, (), None) or words
    return replace(
        line,
        value_text=words,
        status=status,
        status_text=words,
        tone="warning" if status in _UNAVAILABLE else "neutral",
    )


def _comparisons(row: Row, unit: str, grain: str) -> str:
    """Both comparisons in words; one that the engine left out (P7, P8) is not made up here."""
    bases = (
        ("previous_value", "change", f"the {grain} before"),
        ("year_ago_value", "year_ago_change", "a year before"),
    )
    parts = []
    for earlier, change, base in bases:
        words = _change(row, unit, earlier, change)
        if words:
            parts.append(compared_with(words, base))
    return ", ".join(parts)


def _change(row: Row, unit: str, earlier: str = "previous_value", change: str = "change") -> str:
    if row["value"] is None or row[earlier] is None or row[change] is None:
        return ""
    return change_words(row["value"], row[earlier], row[change], unit)


def _tone(row: Row, unit: str, traits: KpiTraits, min_coverage: float) -> Tone:
    """Good or bad by the direction of the change; never from a value that is not to be trusted."""
    if row["status"] in _UNAVAILABLE or is_contradicted(row["flags"]):
        return "warning"
    share = coverage_share(row["coverage"])
    if share is not None and share < min_coverage:
        return "warning"
    words = _change(row, unit)
    has_moved = words.startswith(("up", "down"))
    if not has_moved or traits.better == "none" or _UNCERTAIN & {row["status"], *row["flags"]}:
        return "neutral"
    return "good" if words.startswith("up") == (traits.better == "higher") else "bad"


def _alert_tone(alert: Alert | None, traits: KpiTraits, tone: Tone) -> Tone:
    """An unusual value needs attention, unless it is unusually good."""
    if alert is None:
        return tone
    good_side = {"higher": "high", "lower": "low"}.get(traits.better)
    return tone if alert.side == good_side else "warning"


# --- groups ----------------------------------------------------------------------------------


def _breakdowns(unit: str, entry: Entry, facts: Facts) -> tuple[Breakdown, ...]:
    """One breakdown per set of dimensions, in the order of the results."""
    by_dimensions: dict[tuple[str, ...], list[Row]] = {}
    for row in entry.rows:
        if row["segment"]:
            by_dimensions.setdefault(tuple(row["segment"]), []).append(row)
    found = []
    for dimensions, rows in by_dimensions.items():
        shown = sorted(rows, key=_rank)[:_SEGMENTS_SHOWN]
        further = len(rows) - len(shown)
        found.append(
            Breakdown(
                dimensions=dimensions,
                segments=tuple(_segment_line(row, unit, entry, facts) for row in shown),
                further=further,
                note=f"and {further:,} more" if further else "",
                detail=detail_of(dimensions),
                driver=_driver(rows, unit, entry, facts),
            )
        )
    return tuple(found)


def _rank(row: Row) -> tuple[bool, bool, float, tuple[str, ...]]:
    """Largest first; groups too small to be ranked (N5) and those without a value last."""
    value = row["value"]
    names = tuple(row["segment"].values())
    return (value is None, "low_sample" in row["flags"], -(value or 0.0), names)


def _segment_line(row: Row, unit: str, entry: Entry, facts: Facts) -> SegmentLine:
    verdicts = [one for one in entry.verdicts if dict(one.goal.segment or {}) == row["segment"]]
    verdicts.sort(key=lambda verdict: verdict.urgency)
    text = value_text(row["value"], unit, facts.currency)
    if row["value"] is None:
        text = status_words(row["status"], (), None) or text
    alert = entry.alerts.get(row["place"])
    unusual = alert_words(alert, facts.period.grain, unit, facts.currency)
    tone = _alert_tone(alert, entry.traits, _tone(row, unit, entry.traits, facts.min_coverage))
    return SegmentLine(
        segment=row["segment"],
        value=row["value"],
        value_text=text,
        change_text="; ".join(text for text in (_change(row, unit), unusual) if text),
        tone=_goal_tone(verdicts[0], tone) if verdicts else tone,
        n=row["n"],
        goal_text="; ".join(goal_words(one, unit, facts.currency) for one in verdicts),
    )


def _driver(groups: Sequence[Row], unit: str, entry: Entry, facts: Facts) -> SegmentLine | None:
    """The group that moved the total most in its direction (A4).

    Only where groups add up to the total, now and before: shares of a rate cannot be told from
    its groups' rates (S4).
    """
    total = entry.total
    if total is None or not entry.traits.adds_up or len(groups) < 2:
        return None
    moved = _moved(total)
    if not moved or not _adds_up(total, groups):
        return None
    row = max(groups, key=lambda group: _moved(group) * (1 if moved > 0 else -1))
    contribution = _moved(row)
    if contribution * moved <= 0:
        return None
    sign = "+" if contribution > 0 else ""
    return SegmentLine(
        segment=row["segment"],
        value=contribution,
        value_text=sign + value_text(contribution, unit, facts.currency),
        n=row["n"],
    )


def _moved(row: Row) -> float:
    return float(row["value"] or 0.0) - float(row["previous_value"] or 0.0)


def _adds_up(total: Row, groups: Sequence[Row]) -> bool:
    for column in ("value", "previous_value"):
        if total[column] is None:
            return False
        parts = sum(float(row[column] or 0.0) for row in groups)
        if abs(parts - total[column]) > _ROUNDING * max(abs(total[column]), 1.0):
            return False
    return True


# --- goals -----------------------------------------------------------------------------------


def _with_goals(
    line: KpiLine, entry: Entry, facts: Facts, traits: Mapping[str, KpiTraits]
) -> KpiLine:
    """The line with the goals on its total, the most urgent first."""
    verdicts = [verdict for verdict in entry.verdicts if not verdict.goal.segment]
    if not verdicts:
        return line
    verdicts.sort(key=lambda verdict: verdict.urgency)
    currency = facts.currency
    guardrails = [guardrail_words(verdict, traits, currency) for verdict in verdicts]
    return replace(
        line,
        tone=_goal_tone(verdicts[0], line.tone),
        goal_text="; ".join(goal_words(verdict, line.unit, currency) for verdict in verdicts),
        guardrail_text="; ".join(dict.fromkeys(text for text in guardrails if text)),
        goal_status=verdicts[0].status,
        goal_owner=verdicts[0].goal.owner,
        target=float(verdicts[0].goal.target),
    )


def _goal_tone(verdict: GoalVerdict, tone: Tone) -> Tone:
    """A goal outweighs the direction of the last change; a warning about the data stays."""
    if verdict.is_missed:
        return "bad"
    if verdict.status == "at_risk" or tone == "warning":
        return "warning"
    return "good" if verdict.status in ("achieved", "on_track") else tone
