"""All that is wrong with a project at once: form, names, and what only DuckDB can tell.

Asked for when something is wrong already: the project's own definitions and the dimensions and
filters of jobs and goals are compiled and bound over empty tables, as far as they are right
otherwise. What follows from another finding is not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from crmetrics.catalog import Catalog, Kpi, Measure, Place
from crmetrics.compiler.needs import Supplied
from crmetrics.compiler.program import Program
from crmetrics.config import ProjectConfig
from crmetrics.config.mentions import JobMentions, Mention
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.naming import Named, look_up, own_kpis
from crmetrics.errors import ConfigError, CrmetricsError, Finding
from crmetrics.periods import Period

if TYPE_CHECKING:
    from crmetrics.engine.project import Project

_MAX_REPAIRS = 20


def all_findings(
    project: Project,
    config: ProjectConfig,
    found: Iterable[Finding] = (),
    *,
    is_readable: bool = True,
) -> list[Finding]:
    """Every finding about a project, in the order of its files.

    config: what is right in the project file. found: what is wrong with its form. is_readable:
    False when nothing of it could be read.
    """
    named = look_up(project.registry, config, is_readable=is_readable)
    trial = project.with_parts(config, named.catalog)
    findings = [*found, *_plugins(trial), *named.findings, *bound_findings(trial, named)]
    return in_order(findings)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once: those of the project file first, then by file and place."""
    once = {(it.file, it.line, it.column, _bare(it.message)): it for it in findings}
    return sorted(once.values(), key=lambda it: ("/" in it.file, it.file, it.line, it.column))


def _bare(message: str) -> str:
    """Without the KPI that says so: an expression that variants share is wrong once."""
    return message.partition(": ")[2] or message


def _plugins(project: Project) -> Iterator[Finding]:
    """Modules under `plugins:` that could not be loaded; they may be why names are unknown."""
    broken = {plugin.name: plugin for plugin in project.registry.quarantined}
    for number, name in enumerate(project.config.plugins):
        if name in broken:
            place = project.config.place("plugins", number)
            yield place.finding(f"plugins[{number}]: {name!r} is not loaded: {broken[name].error}")


def bound_findings(
    project: Project, named: Named, jobs: Sequence[str] | None = None
) -> list[Finding]:
    """What is wrong with the project's own definitions, and with the dimensions and filters that
    its jobs and goals name.

    jobs: look at these jobs alone, not at definitions and goals.
    """
    period = project.calendar.last_complete(project.now(), "month")
    mentions = project.config.mentions
    has_own = any(own_kpis(named.catalog))
    segments = any(mentions.segments.values())
    if not (mentions.jobs or has_own or segments):
        return []
    with project.answerer([period], is_binding=True) as answerer:
        answerer.supplied = everything(project)
        binding = _Binding(project, answerer, period, set(named.faulty))
        if jobs is None:
            binding.definitions(named.catalog)
            binding.segments()
        for job in mentions.jobs:
            if jobs is None or job.name in jobs:
                binding.job(job)
        return binding.findings


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


class _Binding:
    """Compiles and binds piece by piece, so that one fault does not hide the next."""

    def __init__(
        self, project: Project, answerer: Answerer, period: Period, faulty: set[str]
    ) -> None:
        self.project = project
        self.answerer = answerer
        self.period = period
        self.faulty = faulty
        self.findings: list[Finding] = []

    # --- the project's own definitions -----------------------------------------------------------

    def definitions(self, catalog: Catalog) -> None:
        waiting = [kpi for kpi in own_kpis(catalog) if kpi.id not in self.faulty]
        while waiting:
            # Those first that compute with none of the others: what is wrong in one is told there.
            names = {kpi.id for kpi in waiting}
            ready = [kpi for kpi in waiting if not inputs_of(kpi) & (names - {kpi.id})] or waiting
            for kpi in ready:
                if inputs_of(kpi) & self.faulty or not self.definition(kpi):
                    self.faulty.add(kpi.id)
            waiting = [kpi for kpi in waiting if kpi not in ready]

    def definition(self, kpi: Kpi) -> bool:
        """True when everything else can be checked with this KPI, as it is or mended."""
        mended = [self.variant(kpi.id, variant) for variant in kpi.variants]
        if all(mended):
            place = kpi.variant("").measure.place("dimensions")
            for dimension in kpi.dimensions:
                self.tell(self.problem(self.question(kpi.id, ((dimension,),))), place)
        return all(mended)

    def variant(self, kpi: str, variant: str) -> bool:
        """Every fault of a measure: what was found wrong is made right for the next look, and
        stays so in the catalog."""
        for _ in range(_MAX_REPAIRS):
            catalog = self.answerer.catalog
            found = catalog.kpis[kpi].variant(variant)
            problem = self.problem(self.question(f"{kpi}.{variant}".rstrip(".")))
            if problem is None:
                return True
            self.tell(problem, found.measure.place("from"))
            measure = self.repaired(found.measure, problem)
            if measure is None:
                return False
            variants = {
                **catalog.kpis[kpi].variants,
                variant: replace(found, measure=measure),
            }
            mended = replace(catalog.kpis[kpi], variants=variants)
            self.answerer.catalog = replace(catalog, kpis={**catalog.kpis, kpi: mended})
        return False

    def repaired(self, measure: Measure, problem: CrmetricsError) -> Measure | None:
        if not problem.findings:
            return None
        try:
            columns = self.answerer.schema.relation(measure.relation).columns
        except CrmetricsError:
            return None
        dates = [name for name, kind in columns.items() if kind == "DATE" or "TIME" in kind]
        return _repaired(measure, problem.findings[0], dates)

    # --- jobs and goals --------------------------------------------------------------------------

    def job(self, job: JobMentions) -> None:
        kpis = [mention.name for mention in job.kpis if self.is_right(mention.name)]
        for mention in job.by:
            self.dimension(kpis, mention)
        if job.where is not None:
            self.filter(kpis, job.where)

    def segments(self) -> None:
        mentions = self.project.config.mentions
        for index, segment in mentions.segments.items():
            name = mentions.goal_kpis.get(index, "")
            for mention in segment if self.is_right(name) else ():
                self.dimension([name], mention)

    def is_right(self, name: str) -> bool:
        kpi, _, variant = name.partition(".")
        found = self.answerer.catalog.kpis.get(kpi)
        return found is not None and kpi not in self.faulty and variant in found.variants

    def dimension(self, kpis: Sequence[str], mention: Mention) -> None:
        self.mention(kpis, mention, groupings=((mention.name,),))

    def filter(self, kpis: Sequence[str], mention: Mention) -> None:
        self.mention(kpis, mention, where=mention.name)

    def mention(self, kpis: Sequence[str], mention: Mention, **asked: Any) -> None:
        """What keeps these KPIs from being asked so; the same fault of several is told once."""
        place = self.project.config.place(*mention.path, at_key=mention.is_key)
        told: dict[str, tuple[Finding, list[str]]] = {}
        for kpi in kpis:
            problem = self.problem(self.question(kpi, **asked))
            for finding in _findings(problem):
                bare = finding.message.replace(kpi, "", 1)
                kind = f"no dimension {mention.name!r}" if "groupings" in asked else bare
                told.setdefault(kind, (finding, []))[1].append(kpi)
        for finding, names in told.values():
            others = f"The same holds for {', '.join(names[1:])}." if names[1:] else ""
            hint = f"{finding.hint} {others}".strip()
            self.findings.append(place.finding(finding.message, hint))

    # --- telling ---------------------------------------------------------------------------------

    def question(
        self, kpi: str, groupings: tuple[tuple[str, ...], ...] = ((),), where: str = ""
    ) -> Question:
        return Question((kpi,), (self.period,), groupings, where)

    def problem(self, question: Question) -> CrmetricsError | None:
        try:
            bind(self.answerer, question)
        except CrmetricsError as exc:
            return exc
        return None

    def tell(self, problem: CrmetricsError | None, at: Place) -> None:
        for finding in _findings(problem):
            here = Finding(finding.message, at.file, at.line, at.column, finding.hint)
            self.findings.append(finding if finding.file else here)


def _findings(problem: CrmetricsError | None) -> tuple[Finding, ...]:
    if problem is None:
        return ()
    return problem.findings or (Finding(str(problem)),)


def _repaired(measure: Measure, finding: Finding, dates: Sequence[str]) -> Measure | None:
    """The measure without what the finding points at; None when it points at nothing of it.

    dates: columns of its relation that can date its rows.
    """
    at = Place(finding.file, finding.line, finding.column)
    key = next((key for key, place in measure.places.items() if place == at and key), "")
    name, _, part = key.partition(".")
    if name in ("value", "numerator", "denominator", "n") and measure.shape != "derived":
        changes: dict[str, Any] = {name: "count(*)"}
        return replace(measure, **changes)
    if name == "time" and dates:
        return replace(measure, time=dates[0])
    if name == "where":
        return replace(measure, where=())
    if name == "coverage" and part:
        left = {count: sql for count, sql in measure.coverage.items() if count != part}
        return replace(measure, coverage=left)
    if name == "standard_error":
        return replace(measure, standard_error="")
    if name == "latest":
        return replace(measure, latest=None)
    return None


def inputs_of(kpi: Kpi) -> set[str]:
    """The KPIs that a KPI computes with."""
    return {name for variant in kpi.variants.values() for name in _inputs(variant.measure)}


def _inputs(measure: Measure) -> Iterator[str]:
    for item in (*measure.inputs, *measure.coverage_inputs):
        if item.measure is not None:
            yield from _inputs(item.measure)
        else:
            yield item.kpi.partition(".")[0]


def whole(project: Project, exc: ConfigError) -> ConfigError:
    """The same error with everything else that is wrong with the project."""
    findings = in_order([*exc.findings, *all_findings(project, project.config)])
    return ConfigError(findings=findings) if findings else exc
