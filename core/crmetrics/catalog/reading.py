"""From a definition file to what it defines: KPIs, dimensions, vectors, identities, segments."""

from __future__ import annotations

import re
from typing import Any, cast, get_args

from msgspec import Struct, field

from crmetrics.catalog.definition import (
    Better,
    DerivedDimension,
    Kpi,
    Measure,
    Variant,
    Vector,
    Whole,
)
from crmetrics.catalog.fields import Fields
from crmetrics.catalog.identities import Identity, read_identity
from crmetrics.catalog.measures import MEASURE_KEYS, read_measure, read_span
from crmetrics.catalog.segments import Segment, effective_from, read_segment
from crmetrics.config.tree import Section
from crmetrics.errors import Finding, did_you_mean
from crmetrics.periods import GRAINS
from crmetrics.results import UNITS

_ID = re.compile(r"[a-z][a-z0-9_]*")
_FILE_KEYS = (
    "pack", "title", "about", "version", "uses", "dimensions", "vectors", "identities", "segments",
    "kpis",
)  # fmt: skip
_KPI_KEYS = (
    "title", "question", "unit", "better", "kind", "grain", "dimensions", "variants",
    "reported_by", "guardrails", "about", "treatment", "mistakes", "source", "overrides", "owners",
    "effective_from", "min_sample",
)  # fmt: skip
_VECTOR_KEYS = (
    "from", "entity", "span", "values", "types", "where", "currency", "rate_day", "defects",
    "about", "part_of",
)  # fmt: skip
_WHOLE_KEYS = ("vector", "values", "when", "none")
_VARIANT_KEYS = ("title", "unit", "about")


class DefinitionFile(Struct):
    """What one YAML file defines.

    uses: packs whose models and vectors it reads. faulty: KPIs of which a measure has a finding.
    """

    kpis: list[Kpi] = field(default_factory=list)
    dimensions: list[DerivedDimension] = field(default_factory=list)
    vectors: list[Vector] = field(default_factory=list)
    identities: list[Identity] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    uses: tuple[str, ...] = ()
    title: str = ""
    about: str = ""
    faulty: set[str] = field(default_factory=set)


def read_definitions(root: Section, pack: str, findings: list[Finding]) -> DefinitionFile:
    """Everything that the file defines; problems are added to `findings`.

    KPIs stand under `kpis:`, or at the top of a file that has no such key.
    """
    top = Fields(root, pack, findings)
    result = DefinitionFile(title=top.text("title"), about=top.text("about"))
    result.uses = top.texts("uses")
    if "kpis" in root.entries:
        top.known(_FILE_KEYS)
        entries = top.sections_of("kpis")
    else:
        names = [name for name in root.entries if name not in _FILE_KEYS]
        entries = Fields(root.select(names), pack, findings).sections()
    for name, fields in entries.items():
        fields.path = name
        if not _ID.fullmatch(name):
            fields.refuse(
                fields.section,
                f"{name!r} is no KPI id; expected lower-case letters, digits and underscores.",
            )
            continue
        result.kpis.append(_kpi(name, pack, fields, result.faulty))
    for name, fields in top.sections_of("dimensions").items():
        result.dimensions.append(_dimension(name, pack, fields))
    for name, fields in top.sections_of("vectors").items():
        result.vectors.append(_vector(name, pack, fields))
    for name, fields in top.sections_of("identities").items():
        fields.path = f"identities.{name}"
        identity = read_identity(name, pack, fields)
        if identity is not None:
            result.identities.append(identity)
    for name, fields in top.sections_of("segments").items():
        fields.path = f"segments.{name}"
        segment = read_segment(name, pack, fields)
        if segment is not None:
            result.segments.append(segment)
    return result


def _kpi(name: str, pack: str, fields: Fields, faulty: set[str]) -> Kpi:
    fields.known((*_KPI_KEYS, *MEASURE_KEYS))
    unit = fields.choice("unit", UNITS, "count")
    for key in ("title", "unit", "better"):
        if key not in fields.section.entries:
            fields.refuse(fields.section, f"{name}: {key!r} is missing.")
    before = len(fields.findings)
    variants = _variants(fields, unit)
    if len(fields.findings) > before or _is_misspelt_measure(fields):
        faulty.add(name)
    better = fields.choice("better", get_args(Better), "none")
    grains = fields.texts("grain") or ("month",)
    for grain in grains:
        if grain not in GRAINS:
            fields.refuse(
                fields.section, f"{name}.grain: {grain!r} is none of {', '.join(GRAINS)}."
            )
    return Kpi(
        id=name,
        pack=pack,
        title=fields.text("title", name),
        question=fields.text("question"),
        unit=unit,
        better=cast(Better, better),
        variants=variants,
        kind=fields.text("kind"),
        grains=grains,
        dimensions=fields.texts("dimensions"),
        reported_by=_reported_by(fields),
        guardrails=fields.texts("guardrails"),
        about=fields.text("about"),
        treatment=fields.text("treatment"),
        mistakes=fields.text("mistakes"),
        source=fields.text("source"),
        overrides=fields.text("overrides"),
        owners=fields.texts("owners"),
        effective_from=effective_from(fields),
        min_sample=fields.number("min_sample"),
        place=fields.place(""),
    )


def _reported_by(fields: Fields) -> tuple[str, ...]:
    found, known = fields.texts("reported_by"), fields.texts("dimensions")
    for name in found:
        if name not in known:
            fields.refuse(
                fields.section.node("reported_by") or fields.section,
                f"{fields.path}.reported_by: {name!r} is none of its dimensions.",
                did_you_mean(name, known),
            )
    return found


def _variants(fields: Fields, unit: str) -> dict[str, Variant]:
    measure = read_measure(fields, None)
    variants = {"": Variant("", measure, fields.text("title"), unit)}
    for variant, inner in fields.sections_of("variants").items():
        variants[variant] = _variant(variant, inner, measure, unit)
    return variants


def _is_misspelt_measure(fields: Fields) -> bool:
    """True when an unknown key may be one that the measure lacks."""
    unknown = fields.section.entries.keys() - {*_KPI_KEYS, *MEASURE_KEYS}
    return any(did_you_mean(key, ("variants", *MEASURE_KEYS)) for key in unknown)


def _variant(name: str, fields: Fields, default: Measure, unit: str) -> Variant:
    fields.known((*_VARIANT_KEYS, *MEASURE_KEYS))
    measure = read_measure(fields, default)
    return Variant(
        name,
        measure,
        fields.text("title"),
        fields.choice("unit", UNITS, unit),
        fields.text("about"),
    )


def _dimension(name: str, pack: str, fields: Fields) -> DerivedDimension:
    fields.known(("on", "expression", "band", "setting", "lookup", "key", "column", "about"))
    key = fields.texts("key") or ("", "")
    if len(key) == 1:
        key = (key[0], key[0])
    return DerivedDimension(
        name,
        pack,
        fields.texts("on"),
        expression=fields.text("expression"),
        band=fields.text("band"),
        setting=fields.text("setting"),
        lookup=fields.text("lookup"),
        key=(key[0], key[1]),
        column=fields.text("column"),
        place=fields.place(""),
    )


def _vector(name: str, pack: str, fields: Fields) -> Vector:
    fields.known(_VECTOR_KEYS)
    return Vector(
        name,
        pack,
        fields.text("from"),
        fields.texts("entity"),
        read_span(fields) or ("", ""),
        fields.mapping("values"),
        fields.mapping("types"),
        fields.text("where"),
        fields.text("currency", "currency"),
        cast(Any, fields.choice("rate_day", ("opening", "reading"), "opening")),
        fields.mapping("defects"),
        fields.place(""),
        _whole(fields.below("part_of")),
    )


def _whole(fields: Fields | None) -> Whole | None:
    if fields is None:
        return None
    fields.known(_WHOLE_KEYS)
    return Whole(
        fields.text("vector"),
        fields.mapping("values"),
        fields.mapping("when"),
        fields.mapping("none"),
    )
