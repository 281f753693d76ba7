"""The catalog: every definition a project has, and the rules of who may define what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crmetrics.catalog.definition import DerivedDimension, Kpi, Model, Vector
from crmetrics.catalog.reading import DefinitionFile, read_definitions
from crmetrics.config.variables import Environment
from crmetrics.config.yaml_reader import read_document
from crmetrics.errors import ConfigError, Finding, UsageError, did_you_mean
from crmetrics.plugin import MetricPack


@dataclass(frozen=True)
class Catalog:
    """Definitions by name.

    kpis: id -> KPI. models: name -> SQL model. dimensions: name -> the derived dimensions of that
    name (for different relations).
    """

    kpis: Mapping[str, Kpi] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    dimensions: Mapping[str, tuple[DerivedDimension, ...]] = field(default_factory=dict)
    vectors: Mapping[str, Vector] = field(default_factory=dict)

    def kpi(self, name: str) -> Kpi:
        """The KPI of that id; UsageError with close matches if there is none."""
        found = self.kpis.get(name)
        if found is None:
            hint = did_you_mean(name, self.kpis) or "`crmetrics list kpis` shows all."
            raise UsageError(f"there is no KPI {name!r} in the enabled packs. {hint}")
        return found

    def resolve(self, name: str) -> tuple[Kpi, str]:
        """`kpi` or `kpi.variant` as the KPI and the variant's name."""
        kpi_id, _, variant = name.partition(".")
        kpi = self.kpi(kpi_id)
        if variant not in kpi.variants:
            known = [key for key in kpi.variants if key]
            hint = did_you_mean(variant, known)
            if not hint:
                hint = f"It has {', '.join(known)}." if known else "It has none."
            raise UsageError(f"KPI {kpi_id!r} has no variant {variant!r}. {hint}")
        return kpi, variant


def load_catalog(
    packs: Iterable[MetricPack], *, project: Path | None = None, disable: Iterable[str] = ()
) -> Catalog:
    """Read the definitions of these packs and of the project's own `metrics/` folder.

    Raises ConfigError with all findings: unknown keys, two definitions of one id, an override
    that is not declared (Q3).
    """
    findings: list[Finding] = []
    builder = _Builder(findings)
    for pack in packs:
        builder.add(pack)
    if project is not None and project.is_dir():
        builder.add(MetricPack("project", project))
    if findings:
        raise ConfigError(findings=findings)
    hidden = set(disable)
    for name in sorted(hidden - set(builder.kpis)):
        hint = did_you_mean(name, builder.kpis)
        findings.append(Finding(f"metrics.disable: there is no KPI {name!r}.", hint=hint))
    if findings:
        raise ConfigError(findings=findings)
    return Catalog(builder.kpis, builder.models, builder.dimensions, builder.vectors)


class _Builder:
    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        self.kpis: dict[str, Kpi] = {}
        self.models: dict[str, Model] = {}
        self.dimensions: dict[str, tuple[DerivedDimension, ...]] = {}
        self.vectors: dict[str, Vector] = {}

    def add(self, pack: MetricPack) -> None:
        for file in sorted([*pack.path.glob("*.yaml"), *pack.path.glob("*.yml")]):
            document = read_document(file, Environment({}, pack.path))
            shown = f"{pack.name}/{file.name}"
            if document.findings:
                self.findings += [_renamed(finding, shown) for finding in document.findings]
                continue
            found: list[Finding] = []
            content = read_definitions(document.root, pack.name, found)
            self.findings += [_renamed(finding, shown) for finding in found]
            self._take(content, shown)
        for file in sorted((pack.path / "sql").glob("*.sql")):
            self._model(Model(file.stem, pack.name, file.read_text("utf-8"), str(file)))

    def _take(self, content: DefinitionFile, shown: str) -> None:
        for kpi in content.kpis:
            known = self.kpis.get(kpi.id)
            if known is not None and kpi.overrides != kpi.id:
                self._clash(kpi, known, shown)
            elif known is None and kpi.overrides:
                self._nothing_to_override(kpi, shown)
            else:
                self.kpis[kpi.id] = kpi
        for dimension in content.dimensions:
            others = self.dimensions.get(dimension.name, ())
            self.dimensions[dimension.name] = (dimension, *others)
        self.vectors |= {vector.name: vector for vector in content.vectors}

    def _clash(self, kpi: Kpi, known: Kpi, shown: str) -> None:
        self.findings.append(
            Finding(
                f"{kpi.id}: pack {known.pack!r} defines this KPI already.",
                shown,
                kpi.place.line,
                kpi.place.column,
                f"Take another id, or say `overrides: {kpi.id}` to replace it.",
            )
        )

    def _nothing_to_override(self, kpi: Kpi, shown: str) -> None:
        self.findings.append(
            Finding(
                f"{kpi.id}: overrides {kpi.overrides!r}, which no enabled pack defines.",
                shown,
                kpi.place.line,
                kpi.place.column,
                did_you_mean(kpi.overrides, self.kpis) or "Remove `overrides:`.",
            )
        )

    def _model(self, model: Model) -> None:
        known = self.models.get(model.name)
        if known is not None:
            self.findings.append(
                Finding(
                    f"model {model.name!r} of pack {model.pack!r} stands in pack "
                    f"{known.pack!r} already.",
                    model.file,
                    hint="Give the file another name.",
                )
            )
            return
        self.models[model.name] = model


def _renamed(finding: Finding, shown: str) -> Finding:
    return Finding(finding.message, shown, finding.line, finding.column, finding.hint)
