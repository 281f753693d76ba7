"""What a job reports: the values of its period, their trend and verdicts, and what the earlier
periods that it has reported come to now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from crmetrics import state
from crmetrics.compiler.hashing import definition_hash
from crmetrics.compiler.operand import Grouping
from crmetrics.config import JobConfig
from crmetrics.config.settings import setting_value
from crmetrics.deliver import Series, Threshold, detail_of
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.goal_rows import measured_goals
from crmetrics.engine.identities import Checked, answered
from crmetrics.engine.report_questions import questions_of, with_further, with_lacking
from crmetrics.engine.signalling import (
    SERIES_PERIODS,
    Place,
    Signals,
    alerts_in,
    compared_with,
    flagged,
    place_of,
    signals,
)
from crmetrics.goals import (
    Alert,
    Goal,
    GoalVerdict,
    Judgement,
    KpiTraits,
    judge,
    kpi_name,
    kpi_traits,
)
from crmetrics.periods import Calendar, Period

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project


class Earlier(Struct, frozen=True):
    """A period that the job reported before, computed again (rule P6).

    alerts: the unusual values among its rows. is_old: it is looked at again only because a value of
    it was not final (P7), not because it is one of the last `restate_periods`.
    """

    period: Period
    results: pa.Table
    verdicts: tuple[GoalVerdict, ...]
    alerts: Mapping[Place, Alert] = field(default_factory=dict)
    is_old: bool = False


class Computed(Struct, frozen=True):
    """What a run of a job found out. results: rows of the reported period, judged. checked: what
    was computed, and the identities looked at. signals: trends and unusual values. definitions: of
    the job's KPIs, whatever there are data for: (KPI, variant, hash)."""

    results: pa.Table
    series: Mapping[str, Series]
    verdicts: tuple[GoalVerdict, ...]
    traits: Mapping[str, KpiTraits]
    as_of: datetime
    checked: Checked
    signals: Signals
    definitions: tuple[tuple[str, str, str], ...] = ()
    earlier: tuple[Earlier, ...] = ()


def compute(project: Project, job: JobConfig, period: Period, run_id: str) -> Computed:
    """Everything that a run of the job reports on the period."""
    count = int(setting_value(project.config.metrics.settings, "restate_periods"))
    needed = compared_with(project.calendar, period, count)
    past = _periods_before(project.calendar, period, max(count, SERIES_PERIODS - 1))
    asked, *further = questions_of(project.catalog, job, (period,))
    goals = [goal for goal in project.config.goals if goal.kpi in job.kpis]
    with project.answerer(needed) as answerer:
        checked = answered(answerer, asked, run_id=run_id, with_companions=True)
        results = with_lacking(answerer, checked.results, asked, run_id=run_id)
        results = with_further(answerer, results, further, run_id=run_id)
        checked = replace(checked, results=results)
        series = _answered_series(answerer, needed, asked, further)
        walked = [*past[len(past) - count :], period]
        found = _signals(project, job, answerer, series, walked)
        measured = measured_goals(answerer, goals, job.grain, job.where or "")
        traits = kpi_traits(project.catalog.kpis.values())
        as_of = answerer.clock.as_of
        judgement = _judged(project, checked.results, goals, traits, as_of, measured)
        old = _unfinished(project, job, answerer, walked[:-1])
        earlier = _earlier(
            project, job, (asked, *further), answerer, [*old, *walked[:-1]], goals, traits, run_id
        )
        return Computed(
            flagged(judgement.results, found.alerts[period.start]),
            _series(series, past[-SERIES_PERIODS:]),
            judgement.verdicts,
            traits,
            as_of,
            checked,
            found,
            tuple(_definitions(project, job, answerer)),
            tuple(_with_alerts(one, found, job, answerer) for one in earlier),
        )


def _definitions(
    project: Project, job: JobConfig, answerer: Answerer
) -> Iterator[tuple[str, str, str]]:
    for name in job.kpis:
        kpi, variant = project.catalog.resolve(name)
        found = definition_hash(kpi, variant, project.catalog, answerer.settings.of)
        yield kpi.id, variant, found


def threshold_of(project: Project) -> Threshold:
    """The smallest change of a KPI that is reported again (setting `restate_threshold`)."""
    settings = project.config.metrics.settings
    return lambda kpi: float(setting_value(settings, "restate_threshold", kpi))


def _judged(
    project: Project,
    results: pa.Table,
    goals: Sequence[Goal],
    traits: Mapping[str, KpiTraits],
    as_of: datetime,
    measured: Sequence[pa.Table] = (),
) -> Judgement:
    import pyarrow as pa

    return judge(
        results,
        goals,
        traits,
        as_of=as_of,
        calendar=project.calendar,
        measured=pa.concat_tables(measured) if measured else None,
    )


def _periods_before(calendar: Calendar, period: Period, count: int) -> list[Period]:
    found = [period]
    for _ in range(count):
        found.append(calendar.previous(found[-1]))
    return found[:0:-1]


def _answered_series(
    answerer: Answerer, periods: Sequence[Period], asked: Question, further: Sequence[Question]
) -> pa.Table:
    """The totals and groups of these periods; persons and records raise no alerts."""

    def groups(question: Question) -> tuple[Grouping, ...]:
        return tuple(one for one in question.groupings if one and detail_of(one) == "group")

    first, *others = (
        replace(one, periods=tuple(periods), groupings=groups(one), compare=())
        for one in (asked, *further)
    )
    series = answerer.answer(replace(first, groupings=((), *first.groupings)))
    return with_further(answerer, series, [one for one in others if one.groupings])


def _signals(
    project: Project,
    job: JobConfig,
    answerer: Answerer,
    series: pa.Table,
    periods: Sequence[Period],
) -> Signals:
    before = project.calendar.previous(periods[0])
    known = state.flags_of(answerer.session, job=job.name, start=before.start, grain=job.grain)
    recorded = alerts_in({place_of(*key): flags for key, flags in known.items()})
    settings = project.config.metrics.settings
    return signals(series, periods, settings, recorded, project.calendar)


def _with_alerts(earlier: Earlier, found: Signals, job: JobConfig, answerer: Answerer) -> Earlier:
    """The period with its unusual values; an old one, whose course is not looked at, keeps the
    flags that were recorded with it."""
    start = earlier.period.start
    if start in found.alerts:
        alerts = found.alerts[start]
        return replace(earlier, results=flagged(earlier.results, alerts), alerts=alerts)
    known = state.flags_of(answerer.session, job=job.name, start=start, grain=job.grain)
    sides = alerts_in({place_of(*key): flags for key, flags in known.items()})
    kept = {place: Alert(side, is_new=False) for place, side in sides.items()}
    return replace(earlier, results=flagged(earlier.results, kept), is_old=True)


def _series(series: pa.Table, periods: Sequence[Period]) -> Mapping[str, Series]:
    """The totals in these periods, by KPI."""
    starts = {period.start for period in periods}
    found: dict[str, list[tuple[date, float | None]]] = {}
    for row in series.select(["kpi", "variant", "period_start", "segment", "value"]).to_pylist():
        if not row["segment"] and row["period_start"] in starts:
            name = kpi_name(row["kpi"], row["variant"])
            found.setdefault(name, []).append((row["period_start"], row["value"]))
    return found


# --- earlier periods ---------------------------------------------------------------------------


def _unfinished(
    project: Project, job: JobConfig, answerer: Answerer, recent: Sequence[Period]
) -> list[Period]:
    """Periods before the `recent` ones, a value of which was not final when it was recorded last,
    or became final since the recent ones began (rule P6). None where nothing is restated."""
    if not recent:
        return []
    resolved = (project.catalog.resolve(name) for name in job.kpis)
    days = state.maturing_periods(
        answerer.session,
        job=job.name,
        grain=job.grain,
        kpis=[(kpi.id, variant) for kpi, variant in resolved],
        since=project.calendar.instant(recent[0].start),
    )
    return [project.calendar.period_of(d, job.grain) for d in days if d < recent[0].start]


def _earlier(
    project: Project,
    job: JobConfig,
    asked: Sequence[Question],
    answerer: Answerer,
    past: Sequence[Period],
    goals: Sequence[Goal],
    traits: Mapping[str, KpiTraits],
    run_id: str,
) -> list[Earlier]:
    """Those of `past` that this job has reported, computed again with what is known now.

    Their goals are judged by the period's own values: the span of a goal is only known to now.
    """
    reported = [
        period
        for period in past
        if state.reported(answerer.session, job=job.name, start=period.start, grain=job.grain)
    ]
    if not reported:
        return []
    first, *further = (replace(one, periods=tuple(reported)) for one in asked)
    results = with_lacking(answerer, answerer.answer(first, run_id=run_id), first, run_id=run_id)
    results = with_further(answerer, results, further, run_id=run_id)
    found = []
    for period in reported:
        judgement = _judged(
            project, _of_period(results, period), goals, traits, answerer.clock.as_of
        )
        found.append(Earlier(period, judgement.results, judgement.verdicts))
    return found


def _of_period(results: pa.Table, period: Period) -> pa.Table:
    import pyarrow as pa

    starts = results.column("period_start").to_pylist()
    return results.filter(pa.array([start == period.start for start in starts], pa.bool_()))
