"""The catalog: every definition a project has, and the rules of who may define what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from crmetrics.catalog.definition import DerivedDimension, Kpi, Measure, Model, Vector
from crmetrics.catalog.general import GENERAL_DIMENSIONS
from crmetrics.catalog.identities import Identity, unknown_kpis
from crmetrics.catalog.reading import DefinitionFile, read_definitions
from crmetrics.catalog.segments import Segment
from crmetrics.config.variables import Environment
from crmetrics.config.yaml_reader import read_document
from crmetrics.errors import ConfigError, Finding, UsageError, did_you_mean
from crmetrics.plugin import MetricPack


class Catalog(Struct, frozen=True):
    """Definitions by name.

    kpis: id -> KPI, the enabled ones. models: name -> SQL model. dimensions: name -> the derived
    dimensions of that name (for different relations). others: KPIs that are not enabled and only
    serve as inputs. disabled: those of them that the project file leaves out. identities: name ->
    what must hold between KPIs, for those that are enabled. segments: name -> groups of records.
    """

    kpis: Mapping[str, Kpi] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    dimensions: Mapping[str, tuple[DerivedDimension, ...]] = field(default_factory=dict)
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    others: Mapping[str, Kpi] = field(default_factory=dict)
    disabled: frozenset[str] = frozenset()
    identities: Mapping[str, Identity] = field(default_factory=dict)
    segments: Mapping[str, Segment] = field(default_factory=dict)

    def input(self, name: str) -> tuple[Kpi, str]:
        """The KPI and variant that an input names; it need not be enabled."""
        kpi_id, _, variant = name.partition(".")
        other = self.others.get(kpi_id)
        if other is not None and kpi_id not in self.kpis and variant in other.variants:
            return other, variant
        return self.resolve(name)

    def kpi(self, name: str) -> Kpi:
        """The KPI of that id; UsageError with close matches if there is none."""
        found = self.kpis.get(name)
        if found is None:
            hint = did_you_mean(name, self.kpis) or "`crmetrics list kpis` shows all."
            if name in self.disabled:
                hint = "It is left out by metrics.disable."
            elif name in self.others:
                pack = self.others[name].pack
                hint = f"It is in the pack {pack!r}: enable it under metrics.packs."
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


class ReadCatalog(Struct, frozen=True):
    """Definitions that were read, and what is wrong with them.

    faulty: KPIs with a finding. is_whole: False when a file could not be read at all, so that
    nobody knows what it defines. unknown_disabled: names to disable that no pack defines.
    """

    catalog: Catalog
    findings: tuple[Finding, ...]
    faulty: frozenset[str]
    is_whole: bool
    unknown_disabled: tuple[str, ...]


def load_catalog(
    packs: Iterable[MetricPack],
    *,
    project: Path | None = None,
    disable: Iterable[str] = (),
    companions: Iterable[MetricPack] = (),
    settings: Mapping[str, Any] | None = None,
) -> Catalog:
    """See `read_catalog`; raises ConfigError with all findings."""
    found = read_catalog(
        packs, project=project, disable=disable, companions=companions, settings=settings
    )
    findings = [*found.findings]
    for name in found.unknown_disabled:
        hint = did_you_mean(name, found.catalog.kpis)
        findings.append(Finding(f"metrics.disable: there is no KPI {name!r}.", hint=hint))
    if findings:
        raise ConfigError(findings=findings)
    return found.catalog


def read_catalog(
    packs: Iterable[MetricPack],
    *,
    project: Path | None = None,
    disable: Iterable[str] = (),
    companions: Iterable[MetricPack] = (),
    settings: Mapping[str, Any] | None = None,
) -> ReadCatalog:
    """Read the definitions of these packs and of the project's own `metrics/` folder.

    companions: packs that are installed but not enabled; read only when a KPI has an input that
    the enabled packs lack, or a pack says that it `uses` theirs. settings: `metrics.settings`, for
    inputs named by a setting.
    Findings: unknown keys, two definitions of one id, an override that is not declared (Q3).
    """
    builder = _Builder([])
    for pack in packs:
        builder.add(pack)
    if project is not None and project.is_dir():
        builder.add(MetricPack("project", project))
    builder.require_known_identities()
    known = set(builder.kpis)
    hidden = {*disable}
    builder.add_companions(list(companions), settings or {})
    enabled = {name: kpi for name, kpi in builder.kpis.items() if name in known - hidden}
    others = {name: kpi for name, kpi in builder.kpis.items() if name not in enabled}
    identities = {
        name: identity
        for name, identity in builder.identities.items()
        if all(kpi.partition(".")[0] in enabled for kpi in identity.kpis)
    }
    return ReadCatalog(
        Catalog(
            enabled,
            builder.models,
            builder.dimensions,
            builder.vectors,
            others,
            frozenset(hidden & known),
            identities,
            builder.segments,
        ),
        tuple(builder.findings),
        frozenset(builder.faulty),
        builder.is_whole,
        tuple(sorted(hidden - known)),
    )


def _foreign_inputs(kpis: Mapping[str, Kpi], settings: Mapping[str, Any]) -> set[str]:
    """KPIs that are named as inputs and not defined here."""
    return {
        name
        for kpi in kpis.values()
        for variant in kpi.variants.values()
        for name in _inputs_of(kpi.id, variant.measure, settings)
    } - set(kpis)


def _inputs_of(kpi: str, measure: Measure, settings: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    chosen = [item for other in measure.alternatives for item in other.changes.get("inputs", ())]
    for item in (*measure.inputs, *measure.coverage_inputs, *chosen):
        if item.measure is not None:
            found |= _inputs_of(kpi, item.measure, settings)
            continue
        name = item.kpi.partition(".")[0]
        if name.startswith("$"):
            setting = name[1:]
            own = settings.get(kpi)
            mine = own.get(setting) if isinstance(own, Mapping) else None
            name = str(mine or settings.get(setting) or measure.settings.get(setting, ""))
        found.add(name)
    return found - {""}


class _Builder:
    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        self.kpis: dict[str, Kpi] = {}
        self.models: dict[str, Model] = {}
        self.dimensions: dict[str, tuple[DerivedDimension, ...]] = dict(GENERAL_DIMENSIONS)
        self.vectors: dict[str, Vector] = {}
        self.identities: dict[str, Identity] = {}
        self.segments: dict[str, Segment] = {}
        self.uses: dict[str, None] = {}
        self.faulty: set[str] = set()
        self.is_whole = True

    def add_companions(self, packs: list[MetricPack], settings: Mapping[str, Any]) -> None:
        """Read the packs that the definitions so far cannot do without, all if an input is open."""
        waiting = {pack.name: pack for pack in packs}
        while waiting:
            is_open = bool(_foreign_inputs(self.kpis, settings))
            wanted = [name for name in waiting if is_open or name in self.uses]
            if not wanted:
                return
            for name in wanted:
                self.add(waiting.pop(name))

    def add(self, pack: MetricPack) -> None:
        for file in sorted([*pack.path.glob("*.yaml"), *pack.path.glob("*.yml")]):
            shown = f"{pack.path.name}/{file.name}"
            document = read_document(file, Environment({}, pack.path), shown=shown)
            self.findings += document.findings
            self.is_whole = self.is_whole and (bool(document.root.entries) or not document.findings)
            self._take(read_definitions(document.root, pack.name, self.findings), shown)
        for file in sorted((pack.path / "sql").glob("*.sql")):
            shown = f"{pack.path.name}/sql/{file.name}"
            try:
                self._model(Model(file.stem, pack.name, file.read_text("utf-8"), shown))
            except (OSError, UnicodeDecodeError) as exc:
                problem = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
                self.findings.append(Finding(f"cannot be read: {problem}.", shown))

    def _take(self, content: DefinitionFile, shown: str) -> None:
        self.faulty |= content.faulty
        for kpi in content.kpis:
            known = self.kpis.get(kpi.id)
            if known is not None and (kpi.overrides != kpi.id or known.pack == kpi.pack):
                self._clash(kpi, known, shown)
            elif known is None and kpi.overrides:
                self._nothing_to_override(kpi, shown)
            else:
                self.kpis[kpi.id] = kpi
        for dimension in content.dimensions:
            others = self.dimensions.get(dimension.name, ())
            self.dimensions[dimension.name] = (dimension, *others)
        self.uses |= dict.fromkeys(content.uses)
        self.vectors |= {vector.name: vector for vector in content.vectors}
        for identity in content.identities:
            self._named("identities", self.identities, identity, shown)
        for segment in content.segments:
            self._named("segments", self.segments, segment, shown)

    def _clash(self, kpi: Kpi, known: Kpi, shown: str) -> None:
        who = f"pack {known.pack!r}"
        hint = f"Take another id, or say `overrides: {kpi.id}` to replace it."
        if known.pack == kpi.pack:
            who = f"{known.place.file}:{known.place.line}"
            hint = "Keep one of the two, or take another id."
        self.findings.append(
            Finding(
                f"{kpi.id}: {who} defines this KPI already.",
                shown,
                kpi.place.line,
                kpi.place.column,
                hint,
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

    def require_known_identities(self) -> None:
        packs = dict.fromkeys(identity.pack for identity in self.identities.values())
        for pack in packs:
            self.findings += unknown_kpis(self.identities.values(), self.kpis, pack=pack)

    def _named(self, section: str, known: dict[str, Any], item: Any, shown: str) -> None:
        """Take an identity or segment, unless another file has one of that name."""
        other = known.setdefault(item.name, item)
        if other is not item:
            message = f"{section}.{item.name}: pack {other.pack!r} states one of this name already."
            at = item.place
            self.findings.append(
                Finding(message, shown, at.line, at.column, "Give it another name.")
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
