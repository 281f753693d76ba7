"""Trends and unusual values of what a job reports (rules A1 and A2).

A sign is a flag of its row, `alert_low` or `alert_high`, in every period that shows it. Whether it
is new is told by the period before: by the series where that is known, else by what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from crmetrics import export
from crmetrics.config.settings import setting_value
from crmetrics.deliver import coverage_share
from crmetrics.goals import Alert, Rules, Side, Trend, kpi_name, trend, unusual
from crmetrics.periods import Calendar, Period

if TYPE_CHECKING:
    import pyarrow as pa

SERIES_PERIODS = 13
"""Periods of a trend in reports (rule A1 looks at 8 to 13)."""

_COMPARED = SERIES_PERIODS - 1
_WEEK = timedelta(days=7)
_NOT_OVER = frozenset({"partial", "maturing"})
_DOUBTFUL = _NOT_OVER | {"low_sample", "stale"}

Place = tuple[str, str]
"""`ID` or `ID.VARIANT`, and the segment as JSON text."""


class Signals(Struct, frozen=True):
    """What the series of a job's KPIs say. trends: of totals, by KPI. alerts: by the first day of
    the period and the place of the row."""

    trends: Mapping[str, Trend] = field(default_factory=dict)
    alerts: Mapping[date, Mapping[Place, Alert]] = field(default_factory=dict)


class _Value(Struct, frozen=True):
    """One row of a series. number: None when it says nothing about the period; is_sure: it may
    raise an alert (P4, P7, N5, Q1)."""

    number: float | None
    is_sure: bool


def compared_with(calendar: Calendar, period: Period, earlier: int) -> list[Period]:
    """The periods that a report on `period` and on the `earlier` ones before it needs, oldest
    first, `period` last: days are also compared with the same day of earlier weeks."""
    found = [period]
    for _ in range(_COMPARED + earlier):
        found.append(calendar.previous(found[-1]))
    if period.grain == "day":
        days = {one.start - _WEEK * weeks for one in found[: earlier + 1] for weeks in _weeks()}
        found += [calendar.period_of(day, "day") for day in days]
    return sorted(set(found), key=lambda one: one.start)


def signals(
    series: pa.Table,
    periods: Sequence[Period],
    settings: Mapping[str, Any],
    recorded: Mapping[Place, Side],
    calendar: Calendar,
) -> Signals:
    """The trends up to the last of `periods`, and the alerts in each of them, oldest first.

    series: result rows of `compared_with`. recorded: the alerts of the period before the first.
    """
    places = _by_place(series, float(setting_value(settings, "min_coverage")))
    last = _consecutive(calendar, periods[-1])
    trends: dict[str, Trend] = {}
    alerts: dict[date, dict[Place, Alert]] = {period.start: {} for period in periods}
    for place, values in places.items():
        numbers = [values[day].number if day in values else None for day in last]
        if place[1] == "{}" and (found := trend(numbers)) is not None:
            trends[place[0]] = found
        rules = _rules(settings, place[0].partition(".")[0])
        if rules is not None:
            for day, alert in _walk(values, periods, rules, recorded.get(place), calendar):
                alerts[day][place] = alert
    return Signals(trends, alerts)


def flagged(results: pa.Table, alerts: Mapping[Place, Alert]) -> pa.Table:
    """The rows of one period with their alerts among the flags."""
    import pyarrow as pa

    if not alerts:
        return results
    places = _places(results)
    flags = [
        [*(known or ()), *([f"alert_{alerts[place].side}"] if place in alerts else ())]
        for place, known in zip(places, results.column("flags").to_pylist(), strict=True)
    ]
    index = results.schema.get_field_index("flags")
    kind = results.schema.field(index)
    return results.set_column(index, kind, pa.array(flags, kind.type))


def alerts_in(flags: Mapping[Place, Iterable[str]]) -> dict[Place, Side]:
    """The sides of the alerts that were recorded with a period's rows."""
    sides: dict[str, Side] = {"alert_low": "low", "alert_high": "high"}
    return {
        place: side for place, names in flags.items() for name in names if (side := sides.get(name))
    }


def place_of(kpi: str, variant: str | None, segment: str | None) -> Place:
    return kpi_name(kpi, variant), segment or "{}"


# --- series ------------------------------------------------------------------------------------


def _walk(
    values: Mapping[date, _Value],
    periods: Sequence[Period],
    rules: Rules,
    before: Side | None,
    calendar: Calendar,
) -> Iterator[tuple[date, Alert]]:
    """The alerts of one series, period by period. A doubtful value may end one but raises none, no
    value does neither."""
    for period in periods:
        value = values.get(period.start)
        if value is None or value.number is None:
            continue
        alert = unusual(value.number, _past(values, period, calendar), rules, before)
        if alert is None:
            before = None
        elif value.is_sure:
            before = alert.side
            yield period.start, alert


def _past(values: Mapping[date, _Value], period: Period, calendar: Calendar) -> list[float]:
    if period.grain == "day":
        days = [period.start - _WEEK * weeks for weeks in _weeks()]
    else:
        days = _consecutive(calendar, period)[:-1]
    numbers = (values[day].number for day in days if day in values)
    return [number for number in numbers if number is not None]


def _weeks() -> range:
    return range(1, _COMPARED + 1)


def _consecutive(calendar: Calendar, period: Period) -> list[date]:
    found = [period]
    for _ in range(_COMPARED):
        found.append(calendar.previous(found[-1]))
    return [one.start for one in reversed(found)]


def _by_place(series: pa.Table, min_coverage: float) -> dict[Place, dict[date, _Value]]:
    columns = ["period_start", "value", "status", "flags", "coverage"]
    found: dict[Place, dict[date, _Value]] = {}
    rows = series.select(columns).to_pylist()
    for place, row in zip(_places(series), rows, strict=True):
        states = {row["status"], *(row["flags"] or ())}
        share = coverage_share(dict(row["coverage"] or ()))
        is_covered = share is None or share >= min_coverage
        number = None if states & _NOT_OVER else row["value"]
        value = _Value(number, is_covered and not states & _DOUBTFUL)
        found.setdefault(place, {})[row["period_start"]] = value
    return found


def _places(results: pa.Table) -> list[Place]:
    named = export.flat(results.select(["kpi", "variant", "segment"])).to_pylist()
    return [place_of(row["kpi"], row["variant"], row["segment"]) for row in named]


def _rules(settings: Mapping[str, Any], kpi: str) -> Rules | None:
    """The rules of a KPI; None when its values raise no alerts."""
    if not setting_value(settings, "alerts", kpi):
        return None
    below, above, change = (
        setting_value(settings, name, kpi)
        for name in ("alert_below", "alert_above", "alert_change")
    )
    return Rules(below, above, float(change))
