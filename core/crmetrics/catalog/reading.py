"""From a definition file to KPIs, derived dimensions and their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

from crmetrics.catalog.definition import (
    PLAIN,
    Alternative,
    Better,
    Condition,
    DerivedDimension,
    Input,
    Kpi,
    Latest,
    Measure,
    Place,
    Variant,
    Vector,
    Whole,
    WindowSpec,
)
from crmetrics.catalog.fields import Fields
from crmetrics.catalog.identities import Identity, read_identity
from crmetrics.catalog.inheriting import inherited, shape_of
from crmetrics.catalog.segments import Segment, effective_from, read_segment
from crmetrics.config.tree import Listing, Node, Scalar, Section, find, to_data
from crmetrics.errors import Finding, did_you_mean
from crmetrics.periods import GRAINS
from crmetrics.results import UNITS

_ID = re.compile(r"[a-z][a-z0-9_]*")
_FILE_KEYS = (
    "pack", "title", "about", "version", "uses", "dimensions", "vectors", "identities", "segments",
    "kpis",
)  # fmt: skip
_MEASURE_KEYS = (
    "from", "shape", "time", "span", "where", "value", "numerator", "denominator", "n",
    "coverage", "currency", "rate_day", "inputs", "window", "matures_after", "needs", "optional",
    "spared_by", "not_assumed", "covered_by", "each_covered_by", "alternatives", "always_by",
    "keeps_total",
    "status_when", "flag_when", "undated_status", "looks_ahead", "flags", "settings", "latest",
    "over", "standard_error", "projected", "configured_by", "periods_of",
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
_WINDOW_KEYS = ("trailing_days", "trailing_months", "trailing_periods", "shift", "shift_months")


@dataclass
class DefinitionFile:
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
        entries = top.below("kpis")
    else:
        names = [name for name in root.entries if name not in _FILE_KEYS]
        entries = Fields(root.select(names), pack, findings)
    for name, fields in (entries.sections() if entries else {}).items():
        fields.path = name
        if not _ID.fullmatch(name):
            fields.refuse(
                fields.section,
                f"{name!r} is no KPI id; expected lower-case letters, digits and underscores.",
            )
            continue
        result.kpis.append(_kpi(name, pack, fields, result.faulty))
    dimensions = top.below("dimensions")
    for name, fields in (dimensions.sections() if dimensions else {}).items():
        result.dimensions.append(_dimension(name, pack, fields))
    vectors = top.below("vectors")
    for name, fields in (vectors.sections() if vectors else {}).items():
        result.vectors.append(_vector(name, pack, fields))
    identities = top.below("identities")
    for name, fields in (identities.sections() if identities else {}).items():
        fields.path = f"identities.{name}"
        identity = read_identity(name, pack, fields, _inputs(fields))
        if identity is not None:
            result.identities.append(identity)
    segments = top.below("segments")
    for name, fields in (segments.sections() if segments else {}).items():
        fields.path = f"segments.{name}"
        segment = read_segment(name, pack, fields)
        if segment is not None:
            result.segments.append(segment)
    return result


def _kpi(name: str, pack: str, fields: Fields, faulty: set[str]) -> Kpi:
    fields.known((*_KPI_KEYS, *_MEASURE_KEYS))
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
    measure = _measure(fields, None)
    variants = {"": Variant("", measure, fields.text("title"), unit)}
    below = fields.below("variants")
    for variant, inner in (below.sections() if below else {}).items():
        variants[variant] = _variant(variant, inner, measure, unit)
    return variants


def _is_misspelt_measure(fields: Fields) -> bool:
    """True when an unknown key may be one that the measure lacks."""
    unknown = fields.section.entries.keys() - {*_KPI_KEYS, *_MEASURE_KEYS}
    return any(did_you_mean(key, ("variants", *_MEASURE_KEYS)) for key in unknown)


def _variant(name: str, fields: Fields, default: Measure, unit: str) -> Variant:
    fields.known((*_VARIANT_KEYS, *_MEASURE_KEYS))
    measure = _measure(fields, default)
    return Variant(
        name,
        measure,
        fields.text("title"),
        fields.choice("unit", UNITS, unit),
        fields.text("about"),
    )


# --- measures ------------------------------------------------------------------------------------


def _measure(fields: Fields, base: Measure | None) -> Measure:
    """A measure; a variant says only how it differs from the default (`base`)."""
    changes = _changes(fields)
    if base is None:
        measure = Measure(**changes)
    else:
        places = {**base.places, **changes["places"]}
        measure = replace(base, **{**inherited(base, changes), "places": places})
    measure = replace(measure, shape=_shape(fields, measure, changes))
    _complain(fields, measure)
    return measure


def _changes(fields: Fields) -> dict[str, Any]:
    """The measure fields that the section states; what it does not state stays as it was."""
    entries = fields.section.entries
    found: dict[str, Any] = {
        name: fields.text(key) for key, name in _TEXT_KEYS.items() if key in entries
    }
    for key in _LIST_KEYS:
        if key in entries:
            found[key] = fields.texts(key)
    for key, read in _READERS.items():
        if key in entries:
            found[key] = read(fields)
    if "coverage" in entries:
        found["coverage"], found["coverage_inputs"] = _coverage(fields)
    found["places"] = _places(fields)
    return found


def _inputs(fields: Fields) -> tuple[Input, ...]:
    below = fields.below("inputs")
    inputs = below.sections() if below else {}
    return tuple(_input(name, inner) for name, inner in inputs.items())


def _needs(fields: Fields) -> dict[str, tuple[str, ...]]:
    below = fields.below("needs")
    return {name: below.texts(name) for name in below.section.entries} if below else {}


def _own_settings(fields: Fields) -> Any:
    node = fields.section.entries["settings"].node
    return to_data(node, {}) if isinstance(node, Section) else {}


def _places(fields: Fields) -> Mapping[str, Place]:
    places = {"": fields.place("")}
    for key, entry in fields.section.entries.items():
        places[key] = fields.place(key)
        if key == "coverage" and isinstance(entry.node, Section):
            for name, inner in entry.node.entries.items():
                at = inner.node.place
                places[f"coverage.{name}"] = Place(at.file, at.line, at.column)
        if key == "inputs" and isinstance(entry.node, Section):
            for name, inner in entry.node.entries.items():
                at = (find(inner.node, ("kpi",)) or inner.node).place
                places[f"inputs.{name}"] = Place(at.file, at.line, at.column)
    return places


def _shape(fields: Fields, measure: Measure, changes: Mapping[str, Any]) -> Any:
    if changes.get("shape"):
        return fields.choice("shape", ("event", "state", "period", "derived"), "event")
    return shape_of(measure)


def _complain(fields: Fields, measure: Measure) -> None:
    if not measure.relation and not measure.inputs:
        fields.refuse(fields.section, f"{fields.path}: expected `from:` or `inputs:`.")
    if not measure.value and not measure.is_ratio:
        fields.refuse(
            fields.section,
            f"{fields.path}: expected `value:`, or `numerator:` and `denominator:`.",
        )


def _span(fields: Fields) -> tuple[str, str] | None:
    texts = fields.texts("span")
    if len(texts) != 2:
        fields.refuse(
            fields.section, f"{fields.path}.span: expected [from, to], found {len(texts)} values."
        )
        return None
    return texts[0], texts[1]


def _conditions(fields: Fields) -> tuple[Condition, ...]:
    node = fields.section.entries["where"].node
    items = node.items if isinstance(node, Listing) else (node,)
    return tuple(_condition(fields, item) for item in items)


def _condition(fields: Fields, node: Node) -> Condition:
    if isinstance(node, Scalar):
        return Condition(node.text.strip())
    if isinstance(node, Section):
        inner = Fields(node, f"{fields.path}.where", fields.findings)
        inner.known(("sql", "when"))
        return Condition(inner.text("sql"), inner.text("when"))
    fields.refuse(node, f"{fields.path}.where: expected a condition, found a list.")
    return Condition("true")


def _coverage(fields: Fields) -> tuple[dict[str, str], tuple[Input, ...]]:
    below = fields.below("coverage")
    counts: dict[str, str] = {}
    inputs: list[Input] = []
    for name, entry in (below.section.entries if below else {}).items():
        assert below is not None
        if isinstance(entry.node, Section):
            inner = below.below(name)
            assert inner is not None
            inputs.append(_input(name, inner))
        else:
            counts[name] = below.text(name)
    return counts, tuple(inputs)


def _input(name: str, fields: Fields) -> Input:
    window = _window(fields.below("window")) if "window" in fields.section.entries else PLAIN
    without = fields.texts("without")
    if "kpi" in fields.section.entries:
        fields.known(("kpi", "window", "without"))
        return Input(name, kpi=fields.text("kpi"), window=window, without=without)
    fields.known((*_MEASURE_KEYS, "window", "without"))
    return Input(name, measure=_measure(fields, None), window=window, without=without)


def _latest(fields: Fields) -> Latest | None:
    below = fields.below("latest")
    if below is None:
        return None
    below.known(("per", "by"))
    return Latest(below.text("per"), below.text("by"))


def _window(fields: Fields | None) -> WindowSpec:
    if fields is None:
        return PLAIN
    fields.known(_WINDOW_KEYS)
    days = fields.text("trailing_days", "0")
    periods = fields.text("trailing_periods", "0")
    shift = fields.choice("shift", ("", "previous", "year_ago"), "")
    return WindowSpec(
        days if days.startswith("$") else fields.number("trailing_days"),
        fields.number("trailing_months"),
        periods if periods.startswith("$") else fields.number("trailing_periods"),
        cast(Any, shift),
        fields.number("shift_months"),
    )


def _alternatives(fields: Fields) -> tuple[Alternative, ...]:
    node = fields.section.entries["alternatives"].node
    found = []
    for item in node.items if isinstance(node, Listing) else ():
        if not isinstance(item, Section):
            fields.refuse(item, f"{fields.path}.alternatives: expected keys and values.")
            continue
        inner = Fields(item, f"{fields.path}.alternatives", fields.findings)
        inner.known((*_MEASURE_KEYS, "for", "when"))
        changes = _changes(inner)
        changes.pop("places")
        if "value" in changes and "numerator" not in changes:
            changes |= {"numerator": "", "denominator": ""}
        found.append(Alternative(inner.texts("for"), changes, inner.mapping("when")))
    return tuple(found)


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
        _span(fields) or ("", ""),
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


_TEXT_KEYS = {
    "from": "relation",
    "time": "time",
    "value": "value",
    "numerator": "numerator",
    "denominator": "denominator",
    "n": "n",
    "currency": "currency",
    "rate_day": "rate_day",
    "matures_after": "matures_after",
    "shape": "shape",
    "undated_status": "undated_status",
    "configured_by": "configured_by",
    "standard_error": "standard_error",
    "periods_of": "periods_of",
}
_LIST_KEYS = (
    "optional",
    "not_assumed",
    "covered_by",
    "each_covered_by",
    "always_by",
    "flags",
    "over",
)
_READERS: Mapping[str, Callable[[Fields], Any]] = {
    "looks_ahead": lambda fields: fields.flag("looks_ahead"),
    "projected": lambda fields: fields.flag("projected"),
    "keeps_total": lambda fields: fields.flag("keeps_total"),
    "span": _span,
    "where": _conditions,
    "inputs": _inputs,
    "window": lambda fields: _window(fields.below("window")),
    "needs": _needs,
    "status_when": lambda fields: fields.mapping("status_when"),
    "flag_when": lambda fields: fields.mapping("flag_when"),
    "spared_by": lambda fields: fields.mapping("spared_by"),
    "alternatives": _alternatives,
    "settings": _own_settings,
    "latest": _latest,
}
