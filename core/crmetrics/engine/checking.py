"""`check`: everything a run needs, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from crmetrics.compiler.needs import Supplied
from crmetrics.compiler.program import Program
from crmetrics.config import JobConfig, ProjectConfig
from crmetrics.engine.answer import Answerer, Question, groupings_of
from crmetrics.errors import ConfigError, CrmetricsError, Finding, UsageError
from crmetrics.goals import kpi_traits, lint_goals
from crmetrics.plugin import CheckResult

if TYPE_CHECKING:
    from crmetrics.engine.project import Project


def check(project: Project) -> list[CheckResult]:
    """All findings at once. Raises ConfigError only when the project file itself is wrong."""
    return [
        *_plugins(project),
        *_definitions(project),
        *_jobs(project),
        *_sources(project),
        *_sinks(project),
    ]


def _plugins(project: Project) -> Iterator[CheckResult]:
    for plugin in project.registry.plugins:
        if plugin.state == "loaded":
            continue
        yield CheckResult(
            f"plugin {plugin.name}",
            "warning",
            f"not loaded: {plugin.error}",
            "Repair or remove it; everything that does not need it works.",
        )
    for note in project.config.notes:
        yield CheckResult("crmetrics.yaml", "warning", str(note))


def _definitions(project: Project) -> Iterator[CheckResult]:
    """Every KPI and variant is compiled and bound over empty tables."""
    try:
        catalog = project.catalog
    except CrmetricsError as exc:
        yield from _errors("definitions", exc)
        return
    period = project.calendar.last_complete(project.now(), "month")
    count = 0
    with project.answerer([period], is_binding=True) as answerer:
        answerer.supplied = everything(project)
        for kpi in catalog.kpis.values():
            for variant in kpi.variants:
                name = f"{kpi.id}.{variant}" if variant else kpi.id
                groupings = ((), *((dimension,) for dimension in kpi.dimensions if not variant))
                count += 1
                try:
                    bind(answerer, Question((name,), (period,), groupings))
                except CrmetricsError as exc:
                    yield from _errors(f"KPI {name}", exc)
    yield CheckResult("definitions", "ok", f"{count} KPIs and variants bind")


def everything(project: Project) -> Supplied:
    """As if every dataset were loaded with all its columns: nothing is out of reach, so every
    definition is compiled."""
    columns = {
        name: frozenset(dataset.column_names) for name, dataset in project.registry.datasets.items()
    }
    return Supplied(columns)


def bind(answerer: Answerer, question: Question) -> Program:
    """Compile and run a question over whatever the session holds; errors carry their place."""
    program = answerer.program(question)
    answerer.run(program)
    return program


def _errors(subject: str, exc: CrmetricsError) -> Iterator[CheckResult]:
    if not exc.findings:
        yield CheckResult(subject, "error", str(exc))
    for finding in exc.findings:
        text = Finding(finding.message, finding.file, finding.line, finding.column)
        yield CheckResult(subject, "error", str(text), finding.hint)


def _jobs(project: Project) -> Iterator[CheckResult]:
    try:
        findings = job_findings(project)
    except CrmetricsError as exc:
        yield from _errors("jobs", exc)
        return
    for finding in findings:
        yield CheckResult("jobs", "error", str(finding), "")
    if not findings and project.config.jobs:
        yield CheckResult("jobs", "ok", f"{len(project.config.jobs)} jobs")


def job_findings(project: Project, only: str = "") -> list[Finding]:
    """KPIs, dimensions, filters and goals of the project file that do not fit, with their places.

    only: look at this job alone.
    """
    config = project.config
    found: list[Finding] = []
    jobs = {name: job for name, job in config.jobs.items() if only in ("", name)}
    for name, job in jobs.items():
        for number, kpi in enumerate(job.kpis):
            found += _unknown(project, config, kpi, ("jobs", name, "kpis", number))
    for fault in lint_goals(config.goals, kpi_traits(project.catalog.kpis.values())):
        place = config.place(*fault.path)
        found.append(Finding(fault.message, place.file, place.line, place.column, fault.hint))
    if not found and jobs:
        found += _unfit(project, jobs)
    return found


def _unfit(project: Project, jobs: Mapping[str, JobConfig]) -> list[Finding]:
    """Dimensions and filters that the rows of a job's KPIs do not have."""
    period = project.calendar.last_complete(project.now(), "month")
    found = []
    with project.answerer([period], is_binding=True) as answerer:
        answerer.supplied = everything(project)
        for name, job in jobs.items():
            groupings = groupings_of(job.by, job.totals)
            for key, question in (
                ("by", Question(job.kpis, (period,), groupings)),
                ("where", Question(job.kpis, (period,), ((),), job.where or "")),
            ):
                try:
                    bind(answerer, question)
                except CrmetricsError as exc:
                    place = project.config.place("jobs", name, key)
                    texts = [f.message + (f" {f.hint}" if f.hint else "") for f in exc.findings]
                    message = "; ".join(texts) or str(exc)
                    found.append(Finding(message, place.file, place.line, place.column))
    return found


def _unknown(
    project: Project,
    config: ProjectConfig,
    name: str,
    path: tuple[str | int, ...],
) -> list[Finding]:
    try:
        project.catalog.resolve(name)
    except UsageError as exc:
        place = config.place(*path)
        return [Finding(str(exc), place.file, place.line, place.column)]
    return []


def require_job(project: Project, name: str) -> None:
    """Raise ConfigError for whatever is wrong with a job; before anything runs."""
    findings = job_findings(project, name)
    if findings:
        raise ConfigError(findings=findings)


def _sources(project: Project) -> Iterator[CheckResult]:
    from crmetrics.engine.loading import connectors

    for name, connector in connectors(project):
        try:
            results = list(connector.check())
        except Exception as exc:  # noqa: BLE001 - a connector must not raise here; show that it did
            yield CheckResult(f"source {name}", "error", f"check failed: {exc}")
            continue
        finally:
            connector.close()
        for item in results:
            yield CheckResult(f"source {name}: {item.subject}", item.state, item.message, item.fix)


def _sinks(project: Project) -> Iterator[CheckResult]:
    from crmetrics.engine.delivering import sinks

    for name, sink in sinks(project, project.config.sinks):
        try:
            results = list(sink.check())
        except Exception as exc:  # noqa: BLE001 - as above
            yield CheckResult(f"sink {name}", "error", f"check failed: {exc}")
            continue
        finally:
            sink.close()
        for item in results:
            yield CheckResult(f"sink {name}: {item.subject}", item.state, item.message, item.fix)
        if not results:
            yield CheckResult(f"sink {name}", "ok", "configured")
