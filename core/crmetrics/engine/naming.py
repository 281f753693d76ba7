"""What the project file names: packs, KPIs, variants and settings, looked up in the definitions.

A name is unknown only where nothing else that is wrong can be the reason: while a pack or a
definition file is missing, a KPI that is defined nowhere may well be there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from crmetrics.catalog import Catalog, Kpi, Measure, Place, ReadCatalog, read_catalog
from crmetrics.config import SETTINGS, ProjectConfig
from crmetrics.config.mentions import Mention, Mentions
from crmetrics.engine.segments import segment_findings
from crmetrics.errors import Finding, PluginError, UsageError, did_you_mean
from crmetrics.goals import kpi_traits, lint_goal
from crmetrics.loader import PluginRegistry
from crmetrics.plugin import MetricPack

_SURELY_MISSPELT = 0.8
_NAMED_SETTING = re.compile(r"(?:\$|for each |when='|configured_by=')(\w+)")


class Named(Struct, frozen=True):
    """The definitions that a project file chooses, and what is wrong with names and definitions.

    faulty: the project's own KPIs with a finding; what else is wrong about them follows from it.
    """

    catalog: Catalog
    findings: tuple[Finding, ...]
    faulty: frozenset[str]


def look_up(registry: PluginRegistry, config: ProjectConfig, *, is_readable: bool = True) -> Named:
    """Look up everything that the project file names.

    is_readable: False when nothing of the file could be read, so that every name is open.
    """
    return _LookUp(registry, config, is_readable).named()


class _LookUp:
    def __init__(self, registry: PluginRegistry, config: ProjectConfig, is_readable: bool) -> None:
        self.registry = registry
        self.config = config
        self.mentions: Mentions = config.mentions
        self.findings: list[Finding] = []
        self.is_complete = is_readable and not self.mentions.has_open_packs
        enabled = self.enabled()
        self.read: ReadCatalog = self.definitions(enabled)
        self.catalog = self.read.catalog

    def named(self) -> Named:
        faulty = set(self.read.faulty) | self.unknown_inputs()
        self.findings += self.read.findings
        self.segments()
        self.disabled()
        self.kpi_settings()
        for job in self.mentions.jobs:
            self.kpis(job.kpis)
        self.kpis(self.mentions.goals)
        self.goals()
        return Named(self.catalog, tuple(dict.fromkeys(self.findings)), frozenset(faulty))

    def report(self, mention: Mention, message: str, hint: str = "") -> None:
        place = self.config.place(*mention.path, at_key=mention.is_key)
        self.findings.append(place.finding(message, hint))

    # --- packs and definitions -------------------------------------------------------------------

    def enabled(self) -> list[MetricPack]:
        """The packs to read; for one that is misspelt, the one that was surely meant."""
        found: dict[str, MetricPack] = {}
        for mention in self.mentions.packs:
            try:
                found[mention.name] = self.registry.require_pack(mention.name)
            except PluginError as exc:
                self.report(mention, str(exc))
                close = difflib.get_close_matches(mention.name, list(self.registry.packs), n=1)
                found.update({name: self.registry.packs[name] for name in close})
                self.is_complete = self.is_complete and bool(close)
        return list(found.values())

    def definitions(self, enabled: list[MetricPack]) -> ReadCatalog:
        metrics = self.config.metrics
        names = {pack.name for pack in enabled}
        found = read_catalog(
            enabled,
            project=self.config.directory / "metrics",
            disable=[mention.name for mention in self.mentions.disabled],
            companions=[pack for pack in self.registry.packs.values() if pack.name not in names],
            settings=metrics.settings,
        )
        if not self.is_complete:
            kept = [
                it for it in found.findings if "which no enabled pack defines" not in it.message
            ]
            found = replace(found, findings=tuple(kept))
        self.is_complete = self.is_complete and found.is_whole
        return found

    @cached_property
    def elsewhere(self) -> Mapping[str, Kpi]:
        """The KPIs of every pack that is installed."""
        return read_catalog(self.registry.packs.values()).catalog.kpis

    def unknown_inputs(self) -> set[str]:
        """The project's own KPIs that compute with KPIs that there are not."""
        found = set()
        for kpi in own_kpis(self.catalog):
            for variant in kpi.variants.values():
                for name, place in _inputs(variant.measure):
                    problem = self.unknown_input(name)
                    if problem:
                        finding = Finding(problem, place.file, place.line, place.column)
                        self.findings.append(finding)
                        found.add(kpi.id)
        return found

    def unknown_input(self, name: str) -> str:
        try:
            self.catalog.input(name)
        except UsageError as exc:
            return "" if self.may_exist(name) else str(exc)
        return ""

    def segments(self) -> None:
        """Wrong segments are told and left out, so that the rest can be looked at."""
        known = self.catalog.segments
        wrong = segment_findings(known.values(), self.registry.datasets)
        self.findings += [finding for findings in wrong.values() for finding in findings]
        right = {name: segment for name, segment in known.items() if name not in wrong}
        self.catalog = replace(self.catalog, segments=right)

    # --- names of KPIs ---------------------------------------------------------------------------

    def disabled(self) -> None:
        for mention in self.mentions.disabled:
            name = mention.name
            if name not in self.read.unknown_disabled or self.may_exist(name):
                continue
            hint = did_you_mean(name, self.catalog.kpis)
            if name in self.elsewhere:
                hint = f"It is in the pack {self.elsewhere[name].pack!r}, which is not enabled."
            self.report(mention, f"metrics.disable: there is no KPI {name!r}.", hint)

    def kpis(self, mentions: tuple[Mention, ...]) -> None:
        for mention in mentions:
            try:
                self.catalog.resolve(mention.name)
            except UsageError as exc:
                if not self.may_exist(mention.name):
                    self.report(mention, self.enabled_where(mention.name) or str(exc))

    def enabled_where(self, name: str) -> str:
        """What to say of a KPI in a pack that is installed and not enabled."""
        other = self.elsewhere.get(name.partition(".")[0])
        if other is None or other.id in {*self.catalog.kpis, *self.catalog.others}:
            return ""
        return (
            f"there is no KPI {name!r} in the enabled packs. "
            f"It is in the pack {other.pack!r}: enable it under metrics.packs."
        )

    def may_exist(self, name: str) -> bool:
        """True when something that is wrong already may be the only reason why a name is not
        found."""
        kpi = name.partition(".")[0]
        if kpi in self.catalog.kpis:
            return kpi in self.read.faulty
        if self.is_complete or kpi in self.elsewhere:
            return False
        known = list(self.catalog.kpis)
        return not difflib.get_close_matches(kpi, known, n=1, cutoff=_SURELY_MISSPELT)

    def goals(self) -> None:
        traits = kpi_traits(self.catalog.kpis.values())
        for index, goal in self.mentions.right_goals.items():
            for fault in lint_goal(index, goal, traits):
                place = self.config.place(*fault.path)
                self.findings.append(place.finding(fault.message, fault.hint))

    # --- settings under the id of a KPI ----------------------------------------------------------

    def kpi_settings(self) -> None:
        for mention, settings in self.mentions.kpi_settings.items():
            name = mention.name
            known = {**self.catalog.others, **self.catalog.kpis}
            kpi = known.get(name) or (None if self.may_exist(name) else self.elsewhere.get(name))
            if kpi is None:
                if not self.may_exist(name):
                    hint = did_you_mean(name, [*known, *SETTINGS])
                    self.report(
                        mention, f"metrics.settings: there is no KPI or setting {name!r}.", hint
                    )
                continue
            if name in self.read.faulty:
                continue
            for setting in settings:
                if setting.name not in SETTINGS:
                    self.own_setting(kpi, setting)

    def own_setting(self, kpi: Kpi, mention: Mention) -> None:
        known = {*SETTINGS, *_settings_of(kpi, self.catalog)}
        if mention.name not in known:
            message = f"metrics.settings.{kpi.id}: unknown setting {mention.name!r}."
            own = ", ".join(sorted(known - {*SETTINGS}))
            hint = did_you_mean(mention.name, known) or (f"Its own are {own}." if own else "")
            self.report(mention, message, hint)


def own_kpis(catalog: Catalog) -> Iterator[Kpi]:
    """The enabled KPIs of the project's own `metrics/` folder."""
    return (kpi for kpi in catalog.kpis.values() if kpi.pack == "project")


def _inputs(measure: Measure) -> Iterator[tuple[str, Place]]:
    """The KPIs that a measure computes with, each with its place; not those that a setting
    names."""
    for item in (*measure.inputs, *measure.coverage_inputs):
        if item.measure is not None:
            yield from _inputs(item.measure)
        elif item.kpi and not item.kpi.startswith("$"):
            yield item.kpi, measure.place(f"inputs.{item.name}")


def _settings_of(kpi: Kpi, catalog: Catalog) -> set[str]:
    """Every setting that the definition of a KPI declares or names, and those that models name."""
    found = {name for variant in kpi.variants.values() for name in _declared(variant.measure)}
    texts = [repr(kpi.variants), *(model.text for model in catalog.models.values())]
    return found.union(*(_NAMED_SETTING.findall(text) for text in texts))


def _declared(measure: Measure) -> Iterator[str]:
    yield from measure.settings
    for item in (*measure.inputs, *measure.coverage_inputs):
        if item.measure is not None:
            yield from _declared(item.measure)
    for alternative in measure.alternatives:
        yield from alternative.changes.get("settings", ())
        yield from alternative.when
