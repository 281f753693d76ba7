"""Measures of definitions: what a KPI, its variants and their inputs compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from msgspec.structs import replace

from crmetrics.catalog.definition import (
    PLAIN,
    Alternative,
    Condition,
    Input,
    Latest,
    Measure,
    Places,
    WindowSpec,
)
from crmetrics.catalog.fields import Fields, place_of
from crmetrics.catalog.inheriting import inherited, shape_of
from crmetrics.config.tree import Listing, Node, Scalar, Section, find, to_data

MEASURE_KEYS = (
    "from", "shape", "time", "span", "where", "value", "numerator", "denominator", "n",
    "coverage", "currency", "rate_day", "inputs", "window", "matures_after", "needs", "optional",
    "spared_by", "not_assumed", "covered_by", "each_covered_by", "alternatives", "always_by",
    "keeps_total",
    "status_when", "flag_when", "undated_status", "looks_ahead", "flags", "settings", "latest",
    "over", "standard_error", "projected", "configured_by", "periods_of",
)  # fmt: skip
_WINDOW_KEYS = ("trailing_days", "trailing_months", "trailing_periods", "shift", "shift_months")


def read_measure(fields: Fields, base: Measure | None) -> Measure:
    """The measure of one section, and findings; a variant says only how it differs from the default
    (`base`)."""
    changes = _changes(fields)
    if base is None:
        measure = Measure(**changes)
    else:
        places = Places(base.places | changes["places"])
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


def read_inputs(fields: Fields) -> tuple[Input, ...]:
    """What the section computes with, each under its name; empty without `inputs:`."""
    return tuple(_input(name, inner) for name, inner in fields.sections_of("inputs").items())


def _needs(fields: Fields) -> dict[str, tuple[str, ...]]:
    below = fields.below("needs")
    return {name: below.texts(name) for name in below.section.entries} if below else {}


def _own_settings(fields: Fields) -> Any:
    node = fields.section.entries["settings"].node
    return to_data(node, {}) if isinstance(node, Section) else {}


def _places(fields: Fields) -> Places:
    places = Places({"": fields.place("")})
    for key, entry in fields.section.entries.items():
        places[key] = fields.place(key)
        if key == "coverage" and isinstance(entry.node, Section):
            for name, inner in entry.node.entries.items():
                places[f"coverage.{name}"] = place_of(inner.node)
        if key == "inputs" and isinstance(entry.node, Section):
            for name, inner in entry.node.entries.items():
                places[f"inputs.{name}"] = place_of(find(inner.node, ("kpi",)) or inner.node)
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


def read_span(fields: Fields) -> tuple[str, str] | None:
    """The SQL of both ends of a state; None (and a finding) when there are not two."""
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
    fields.known((*MEASURE_KEYS, "window", "without"))
    return Input(name, measure=read_measure(fields, None), window=window, without=without)


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
        inner.known((*MEASURE_KEYS, "for", "when"))
        changes = _changes(inner)
        changes.pop("places")
        if "value" in changes and "numerator" not in changes:
            changes |= {"numerator": "", "denominator": ""}
        found.append(Alternative(inner.texts("for"), changes, inner.mapping("when")))
    return tuple(found)


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
    "span": read_span,
    "where": _conditions,
    "inputs": read_inputs,
    "window": lambda fields: _window(fields.below("window")),
    "needs": _needs,
    "status_when": lambda fields: fields.mapping("status_when"),
    "flag_when": lambda fields: fields.mapping("flag_when"),
    "spared_by": lambda fields: fields.mapping("spared_by"),
    "alternatives": _alternatives,
    "settings": _own_settings,
    "latest": _latest,
}
