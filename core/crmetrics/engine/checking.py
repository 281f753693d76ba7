"""`check`: everything a run needs, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from crmetrics import http
from crmetrics.config import CONFIG_FILE
from crmetrics.engine.answer import Question
from crmetrics.engine.naming import Named
from crmetrics.engine.reach import every_variant, told_with_kpis
from crmetrics.engine.validating import bind, bound_findings, everything, whole
from crmetrics.errors import PLUGIN_ERRORS, ConfigError, CrmetricsError, Finding, SinkError
from crmetrics.plugin import CheckResult

if TYPE_CHECKING:
    from crmetrics.engine.project import Project


def check(project: Project) -> list[CheckResult]:
    """All findings at once. Raises ConfigError only when the project file itself is wrong."""
    return [
        *_plugins(project),
        *_project(project),
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


def _project(project: Project) -> Iterator[CheckResult]:
    """Names, definitions and jobs: whatever is wrong with them, or how many are right."""
    try:
        catalog = project.catalog
    except ConfigError as exc:
        yield from _errors(exc.findings)
        return
    named = Named(catalog, (), frozenset())
    found = bound_findings(project, named)
    yield from _errors(found)
    faults, count = _bindings(project, {finding.file for finding in found})
    yield from _errors(faults)
    yield CheckResult("definitions", "ok", f"{count} KPIs and variants bind")
    if project.config.jobs and not any(finding.file == CONFIG_FILE for finding in found):
        yield CheckResult("jobs", "ok", f"{len(project.config.jobs)} jobs")


def _bindings(project: Project, wrong: Collection[str]) -> tuple[list[Finding], int]:
    """Every KPI, variant and identity is compiled and bound over empty tables; what is wrong, and
    how many KPIs and variants are right. wrong: files whose definitions were looked at one by one
    already."""
    period = project.calendar.last_complete(project.now(), "month")
    found: list[Finding] = []
    count = 0
    with project.answerer([period], is_binding=True) as answerer:
        answerer.supplied = everything(project)
        for kpi in project.catalog.kpis.values():
            if kpi.pack == "project" and wrong:
                continue
            for variant in kpi.variants:
                name = f"{kpi.id}.{variant}" if variant else kpi.id
                groupings = ((), *((dimension,) for dimension in kpi.dimensions if not variant))
                try:
                    bind(answerer, Question((name,), (period,), groupings))
                    count += 1
                except CrmetricsError as exc:
                    found += exc.findings or [Finding(f"{name}: {exc}")]
        for name, identity in project.catalog.identities.items():
            if identity.pack == "project" and wrong:
                continue
            try:
                bind(answerer, Question((), (period,), identities=(name,)))
            except CrmetricsError as exc:
                found += exc.findings or [Finding(f"identity {name}: {exc}")]
    return found, count


def _errors(findings: Iterable[Finding]) -> Iterator[CheckResult]:
    for finding in findings:
        text = Finding(finding.message, finding.file, finding.line, finding.column)
        subject = CONFIG_FILE if finding.file == CONFIG_FILE else "definitions"
        yield CheckResult(subject, "error", str(text), finding.hint)


def require_job(project: Project, name: str) -> None:
    """Raise ConfigError for whatever is wrong with a job, and with all else then; before anything
    runs."""
    named = Named(project.catalog, (), frozenset())
    findings = bound_findings(project, named, [name])
    if findings:
        raise whole(project, ConfigError(findings=findings))


def _sources(project: Project) -> Iterator[CheckResult]:
    from crmetrics.engine.opening import UnopenedSource, close_connector, connectors

    for name, connector in connectors(project):
        try:
            results = list(connector.check())
        except PLUGIN_ERRORS as exc:  # a connector must not raise here; show that it did
            told = str(exc) if isinstance(connector, UnopenedSource) else f"check failed: {exc}"
            yield CheckResult(f"source {name}", "error", told)
            continue
        finally:
            close_connector(name, connector)
        for item in told_with_kpis(project, name, results):
            yield CheckResult(f"source {name}: {item.subject}", item.state, item.message, item.fix)
    yield from _cut_windows(project)


def _cut_windows(project: Project) -> Iterator[CheckResult]:
    """Enabled KPIs that count less than their windows say."""
    from crmetrics.engine.planning import cut_windows, supplies_of

    try:
        found = cut_windows(project, every_variant(project), supplies_of(project, or_held=True))
    except CrmetricsError:
        return  # whatever is wrong with definitions, jobs or sources is told by their own lines
    for cut in found:
        yield CheckResult(
            f"source {cut.source}: {cut.dataset}",
            "warning",
            f"{cut}.",
            f"Let the source follow them for {cut.days} days, or set a smaller window.",
        )


def _sinks(project: Project) -> Iterator[CheckResult]:
    from crmetrics.engine.opening import close_sink, open_sink

    for name in project.config.sinks:
        try:
            sink = open_sink(project, name)
        except SinkError as exc:
            yield CheckResult(f"sink {name}", "error", str(exc))
            continue
        try:
            with http.recording.suspended():
                results = list(sink.check())
        except PLUGIN_ERRORS as exc:  # nor must a sink
            yield CheckResult(f"sink {name}", "error", f"check failed: {exc}")
            continue
        finally:
            close_sink(name, sink)
        for item in results:
            yield CheckResult(f"sink {name}: {item.subject}", item.state, item.message, item.fix)
        if not results:
            yield CheckResult(f"sink {name}", "ok", "configured")
