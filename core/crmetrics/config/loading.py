"""Reads the project file: from the directory to a `ProjectConfig`, or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

from crmetrics.config.locating import locate
from crmetrics.config.overlapping import overlaps
from crmetrics.config.plugin_sections import Chosen, PluginSections, check_source
from crmetrics.config.project import (
    JobConfig,
    MetricsConfig,
    ProjectConfig,
    SinkConfig,
    SourceConfig,
    WarehouseConfig,
)
from crmetrics.config.sections import GoalConfig, JobSection, ProjectSection, WarehouseSection
from crmetrics.config.settings_section import read_settings
from crmetrics.config.tree import Listing, Scalar, Section, child, find, place_of
from crmetrics.config.validation import check
from crmetrics.config.variables import Environment
from crmetrics.config.yaml_reader import read_document
from crmetrics.datasets import Dataset
from crmetrics.errors import Finding
from crmetrics.options import Options, SourceOptions
from crmetrics.plugin import Connector, Sink


class Plugins(Struct, frozen=True):
    """What the installed plugins offer to the project file.

    unavailable: by name of a plugin, connector or sink that could not be loaded, the reason.
    """

    connectors: Mapping[str, type[Connector]]
    sinks: Mapping[str, type[Sink]]
    datasets: Mapping[str, Dataset]
    unavailable: Mapping[str, str]


class ReadProject(Struct, frozen=True):
    """A project file that was read.

    config: what is right in it; the rest is left out or has its default. findings: what is wrong,
    in the order of the file. is_readable: False when the file as a whole could not be read, so that
    `config` says nothing.
    """

    config: ProjectConfig
    findings: tuple[Finding, ...]
    is_readable: bool = True


_READABLE_KPIS = 12


def read_project(
    directory: str | Path, environ: Mapping[str, str], plugins: Plugins
) -> ReadProject:
    """See `crmetrics.config.read_config`."""
    file = locate(directory)
    document = read_document(file, Environment(environ, file.parent))
    is_readable = bool(document.root.entries) or not document.findings
    reading = _Reading(document.root, plugins, list(document.findings))
    config = reading.project(file)
    reading.findings += overlaps(config, plugins.datasets)
    findings = reading.findings if is_readable else document.findings
    return ReadProject(config, tuple(in_order(findings)), is_readable)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, by its place."""
    return sorted(dict.fromkeys(findings), key=lambda it: (it.file, it.line, it.column))


class _Reading(Struct):
    """One pass over the tree; collects findings instead of stopping."""

    root: Section
    plugins: Plugins
    findings: list[Finding]
    notes: list[Finding] = field(default_factory=list)

    def project(self, file: Path) -> ProjectConfig:
        section, findings = self.check(self.root)
        self.findings += findings
        if section is None:
            section = self.right_part()
        sources, sinks = self.sources(), self.sinks()
        settings, findings = read_settings(self.root, self.plugins.datasets)
        self.findings += findings
        self.check_goals()
        metrics = section.metrics
        return ProjectConfig(
            directory=file.parent,
            file=file,
            project=section.project or file.parent.name or "project",
            reporting=section.reporting,
            warehouse=_warehouse(section.warehouse, file.parent),
            plugins=section.plugins,
            sources=MappingProxyType(
                {name: SourceConfig(name, it.plugin, it.options) for name, it in sources.items()}
            ),
            metrics=MetricsConfig(metrics.packs, metrics.disable, settings),
            goals=section.goals,
            sinks=MappingProxyType(
                {name: SinkConfig(name, it.plugin, it.options) for name, it in sinks.items()}
            ),
            jobs=MappingProxyType({name: _job(name, it) for name, it in section.jobs.items()}),
            notes=(*self.notes, *self.notes_on(section.goals), *self.crowded(section.jobs)),
            _tree=self.root,
        )

    def check(self, section: Section) -> tuple[ProjectSection | None, list[Finding]]:
        context = {"sinks": _keys(self.root, "sinks")}
        return check(ProjectSection, self.root, section=section, context=context)

    def right_part(self) -> ProjectSection:
        """The sections in which nothing is wrong."""
        right = [key for key in self.root.entries if self.check(self.root.select([key]))[0]]
        section, _ = self.check(self.root.select(right))
        return section or ProjectSection()

    def sources(self) -> dict[str, Chosen[SourceOptions]]:
        reader = PluginSections(
            "sources",
            "connector",
            {name: connector.Config for name, connector in self.plugins.connectors.items()},
            SourceOptions(),
            self.plugins.unavailable,
            self.findings,
            self.notes,
        )
        sources = reader.read(self.root)
        for name in _keys(self.root, "sources"):
            chosen = find(self.root, ("sources", name, "connector"))
            if isinstance(chosen, Scalar) and chosen.text in self.plugins.connectors:
                self.findings += check_source(self.root, name, self.plugins.datasets)
        return sources

    def sinks(self) -> dict[str, Chosen[Options]]:
        configs = {name: sink.Config for name, sink in self.plugins.sinks.items()}
        reader = PluginSections(
            "sinks",
            "sink",
            configs,
            Options(),
            self.plugins.unavailable,
            self.findings,
            self.notes,
        )
        return reader.read(self.root)

    def check_goals(self) -> None:
        """Titles are the identity of goals in the results, so each stands once."""
        goals, seen = self.root.node("goals"), set()
        for index, goal in enumerate(goals.items if isinstance(goals, Listing) else ()):
            title = child(goal, "title")
            if isinstance(title, Scalar) and title.text:
                if title.text in seen:
                    message = f"goals[{index}].title: another goal has the same title."
                    self.findings.append(
                        title.place.finding(message, "Results name goals by their title.")
                    )
                seen.add(title.text)

    def notes_on(self, goals: tuple[GoalConfig, ...]) -> list[Finding]:
        return [
            place_of(self.root, ("goals", index, "target")).finding(
                f"goals[{index}].target: equals the baseline, so its attainment has no value."
            )
            for index, goal in enumerate(goals)
            if goal.target == goal.baseline
        ]

    def crowded(self, jobs: Mapping[str, JobSection]) -> list[Finding]:
        """Rule T3: too many metrics confuse."""
        return [
            place_of(self.root, ("jobs", name, "kpis")).finding(
                f"jobs.{name}.kpis: {len(job.kpis)} KPIs in one report; more than "
                f"{_READABLE_KPIS} are hard to take in.",
                "Keep those that answer the reader's question (`crmetrics list kpis --search`), "
                "or make several jobs.",
            )
            for name, job in jobs.items()
            if len(job.kpis) > _READABLE_KPIS
        ]


def _keys(root: Section, title: str) -> tuple[str, ...]:
    node = root.node(title)
    return tuple(node.entries) if isinstance(node, Section) else ()


def _warehouse(section: WarehouseSection, directory: Path) -> WarehouseConfig:
    timeout = section.statement_timeout
    return WarehouseConfig(
        path=directory / Path(section.path).expanduser(),
        spill_directory=directory / Path(section.spill_directory).expanduser(),
        memory_limit=section.memory_limit,
        threads=section.threads,
        statement_timeout_s=timeout.total_seconds() if timeout is not None else None,
        lock_timeout_s=section.lock_timeout.total_seconds(),
    )


def _job(name: str, section: JobSection) -> JobConfig:
    values: dict[str, Any] = {key: getattr(section, key) for key in JobSection.model_fields}
    values |= {"by": section.groupings, "is_by_given": "by" in section.model_fields_set}
    return JobConfig(name=name, **values)
