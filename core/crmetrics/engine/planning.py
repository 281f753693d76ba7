"""What a job would read, and which of its KPIs are out of reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from crmetrics.compiler.labelling import maturity_of
from crmetrics.compiler.needs import Supplied
from crmetrics.config import JobConfig
from crmetrics.engine.answer import Answerer, Question, groupings_of
from crmetrics.engine.given import GivenRelation, periods_of
from crmetrics.engine.report_questions import questions_of
from crmetrics.errors import SourceError, UsageError, did_you_mean
from crmetrics.planner import Plan, plan_reads
from crmetrics.plugin import Estimate, Supply
from crmetrics.warehouse.compute import open_for_compute
from crmetrics.warehouse.inventory import DatasetHoldings
from crmetrics.warehouse.placeholders import words

if TYPE_CHECKING:
    from crmetrics.compiler.program import Program
    from crmetrics.engine.project import Project


class OutOfReach(Struct, frozen=True):
    """A KPI without a number: status `missing_dataset` or `missing_column`, and what is missing."""

    kpi: str
    status: str
    what: str


class CutWindow(Struct, frozen=True):
    """A KPI that counts what happens within `days` of a row, of which its source gives less."""

    kpi: str
    days: int
    source: str
    dataset: str
    followed: int

    def __str__(self) -> str:
        return (
            f"{self.kpi} counts what happens within {self.days} days, and {self.source} gives "
            f"{self.followed} days of {self.dataset}: what happens later is missing from it"
        )


class JobPlan(Struct, frozen=True):
    """What would be read, from where, and what cannot be computed from it.

    kpis: what was planned for. connectors: source -> connector name. estimates: (source, dataset)
    -> what the read would cost, where it costs calls. cut: KPIs that count less than they say.
    """

    kpis: tuple[str, ...]
    plan: Plan
    out_of_reach: tuple[OutOfReach, ...]
    connectors: Mapping[str, str]
    estimates: Mapping[tuple[str, str], Estimate] = field(default_factory=dict)
    cut: tuple[CutWindow, ...] = ()

    @property
    def calls(self) -> int:
        """Estimated calls of all reads."""
        return sum(estimate.calls for estimate in self.estimates.values())


def plan_job(project: Project, job: str | None) -> JobPlan:
    """Raises UsageError for an unknown job; without one, everything enabled is planned for."""
    supplies = supplies_of(project)
    if job is None:
        kpis = tuple(project.catalog.kpis)
        needs, gaps = needs_of(project, kpis, (), supplies)
    else:
        found = _known_job(project, job)
        kpis = found.kpis
        needs, gaps = needs_of_job(project, found, supplies)
    plan = plan_reads(needs, supplies, project.registry.datasets)
    connectors = {name: source.connector for name, source in project.config.sources.items()}
    estimates = _estimates(project, plan, supplies)
    cut = cut_windows(project, kpis, supplies)
    return JobPlan(tuple(kpis), plan, tuple(gaps), connectors, estimates, tuple(cut))


def _estimates(
    project: Project, plan: Plan, supplies: Mapping[str, Sequence[Supply]]
) -> dict[tuple[str, str], Estimate]:
    """What each read would cost, by what the warehouse holds of it."""
    from crmetrics.engine.opening import close_connector, connectors

    held = _inventory(project)
    found = {}
    for name, connector in connectors(project, plan.sources):
        incremental = {supply.dataset for supply in supplies[name] if supply.incremental}
        try:
            for read in plan.reads:
                if read.source != name:
                    continue
                known = held[read.dataset].by_source.get(name) if held else None
                estimate = connector.estimate(
                    read.dataset,
                    read.columns,
                    rows=None if known is None else known.rows,
                    is_incremental=read.dataset in incremental
                    and known is not None
                    and set(read.columns) <= known.columns | {"id"},
                )
                if estimate is not None:
                    found[name, read.dataset] = estimate
        finally:
            close_connector(name, connector)
    return found


def _known_job(project: Project, job: str) -> JobConfig:
    found = project.config.jobs.get(job)
    if found is None:
        hint = did_you_mean(job, project.config.jobs)
        raise UsageError(f"there is no job {job!r} in {project.config.file.name}. {hint}")
    return found


def supplies_of(project: Project, *, or_held: bool = False) -> dict[str, list[Supply]]:
    """Source -> what its connector can give, as configured.

    or_held: of one that cannot say so, what the warehouse holds of it. Raises SourceError else.
    """
    from crmetrics.engine.opening import close_connector, connectors, supplies_by

    found = {}
    for name, connector in connectors(project):
        try:
            found[name] = supplies_by(name, connector)
        except SourceError:
            if not or_held:
                raise
            found[name] = _held_of(project, name)
        finally:
            close_connector(name, connector)
    return found


def _held_of(project: Project, source: str) -> list[Supply]:
    """What the source gave before."""
    return [
        Supply(dataset, tuple(held.by_source[source].columns))
        for dataset, held in _inventory(project).items()
        if source in held.by_source
    ]


def _inventory(project: Project) -> Mapping[str, DatasetHoldings]:
    """What the warehouse holds, by dataset; nothing while there is none."""
    if not project.engine_settings.path.exists():
        return {}
    view = project.view(project.clock(), ())
    datasets = project.registry.datasets
    with open_for_compute(project.engine_settings, datasets, view) as session:
        return session.inventory


def needs_of_job(
    project: Project, job: JobConfig, supplies: Mapping[str, Sequence[Supply]]
) -> tuple[dict[str, set[str]], list[OutOfReach]]:
    """What a job reads, as `needs_of`. Groups that only its KPIs' definitions ask for put none of
    them out of reach."""
    needs, gaps = needs_of(project, job.kpis, job.by, supplies)
    for question in questions_of(project.catalog, job, ())[1:]:
        _add(needs, needs_of(project, question.kpis, question.groupings, supplies)[0])
    return needs, gaps


def needs_of(
    project: Project,
    kpis: Sequence[str],
    groupings: Iterable[tuple[str, ...]],
    supplies: Mapping[str, Sequence[Supply]],
) -> tuple[dict[str, set[str]], list[OutOfReach]]:
    """Datasets and columns that these KPIs read in these groups, and the KPIs that the supplies
    leave without a number."""
    period = project.calendar.last_complete(project.now(), "month")
    sets = groupings_of(groupings, totals=True)
    with project.answerer([period], is_binding=True) as answerer:
        answerer.supplied = _supplied(supplies, project)
        questions = [Question(tuple(kpis), (period,), sets)]
        needs: dict[str, set[str]] = {}
        for item in _given_to(answerer, kpis):
            _add(needs, item.datasets())
            if behind := tuple(dict.fromkeys(item.kpis(answerer))):
                questions.append(Question(behind, (period,)))
        gaps: dict[OutOfReach, None] = {}
        for question in questions:
            program = answerer.program(question)
            _add(needs, _read_by(answerer, program))
            for wanted in program.needs.values():
                _add(needs, wanted)
            gaps |= {OutOfReach(m.requested.name, m.status, m.what): None for m in program.missing}
    return needs, list(gaps)


def cut_windows(
    project: Project, kpis: Sequence[str], supplies: Mapping[str, Sequence[Supply]]
) -> list[CutWindow]:
    """The KPIs whose windows reach further than a source follows the rows that they read."""
    followed = [
        (source, supply.dataset, supply.follows_days)
        for source, offered in supplies.items()
        for supply in offered
        if supply.follows_days is not None
    ]
    if not followed or not kpis:
        return []
    period = project.calendar.last_complete(project.now(), "month")
    with project.answerer([period], is_binding=True) as answerer:
        answerer.supplied = _supplied(supplies, project)
        program = answerer.program(Question(tuple(kpis), (period,)))
    found: dict[CutWindow, None] = {}
    for item in program.labelled:
        name = f"{item.kpi}.{item.variant}" if item.variant else item.kpi
        days = maturity_of(item.part)
        for source, dataset, most in followed:
            if days > most and dataset in program.needs.get(name, {}):
                found[CutWindow(name, days, source, dataset, most)] = None
    return list(found)


def _add(needs: dict[str, set[str]], more: Mapping[str, Iterable[str]]) -> None:
    for dataset, columns in more.items():
        needs.setdefault(dataset, set()).update(columns)


def _given_to(answerer: Answerer, kpis: Iterable[str]) -> list[GivenRelation]:
    """The relations that the engine fills for these KPIs."""
    names = sorted({periods_of(answerer.catalog, name) for name in kpis} - {""})
    return [answerer.given[name] for name in names]


def _supplied(supplies: Mapping[str, Sequence[Supply]], project: Project) -> Supplied:
    columns: dict[str, set[str]] = {}
    for offered in supplies.values():
        for supply in offered:
            columns.setdefault(supply.dataset, set()).update(supply.columns)
    settings = project.config.metrics.settings
    model, orders_from = settings.get("customer_model"), settings.get("orders_from", "orders")
    if model is None:
        model = "subscription" if "subscriptions" in columns else "purchase"
        if model == "purchase" and orders_from not in columns:
            model = "field"
    return Supplied(
        {name: frozenset(names) for name, names in columns.items()},
        str(model),
        str(orders_from),
    )


def _read_by(answerer: Answerer, program: Program) -> dict[str, set[str]]:
    """Every column that the statements name, per dataset they read; a superset is harmless."""
    texts = [statement.sql for statement in program.statements]
    texts += answerer.relations.made.values()
    named: set[str] = set()
    for text in texts:
        named |= set(answerer.session.prepare(text))
    texts += answerer.session.prelude(sorted(named))
    mentioned = frozenset[str]().union(*(words(text) for text in texts))
    return {
        name: {c.name for c in dataset.columns if c.name in mentioned and not c.expression}
        for name, dataset in answerer.datasets.items()
        if f"live_{name}" in mentioned
    }
