"""What a measure keeps of the one it changes: variants, and alternatives that a setting chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crmetrics.catalog.definition import Measure, Shape


def inherited(base: Measure, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to replace in `base`: the changes, and what they leave without a meaning.

    A measure that brings its own expression does not keep the other kind of the base, and one with
    its own relation keeps neither dating nor filter. Inputs are replaced by name.
    """
    changes = dict(changes)
    cleared: dict[str, Any] = {}
    if "value" in changes or "numerator" in changes or "denominator" in changes:
        if "value" in changes and "numerator" not in changes:
            cleared |= {"numerator": "", "denominator": "", "n": ""}
        if "numerator" in changes and "value" not in changes:
            cleared |= {"value": "", "n": ""}
        if "coverage" not in changes and "inputs" not in changes:
            cleared.setdefault("coverage", base.coverage)
        cleared["standard_error"] = ""
    if "relation" in changes:
        cleared |= {
            "time": "", "span": None, "where": (), "coverage": {}, "coverage_inputs": (),
            "inputs": (), "alternatives": (), "needs": {}, "optional": (), "covered_by": (),
            "each_covered_by": (), "configured_by": "", "currency": "currency", "rate_day": "",
            "spared_by": {}, "not_assumed": (), "shape": "event",
            "status_when": {}, "flag_when": {}, "undated_status": "", "latest": None, "over": (),
            "standard_error": "",
        }  # fmt: skip
    if "inputs" in changes:
        cleared |= {"relation": "", "time": "", "span": None, "where": (), "alternatives": ()}
        if base.relation:
            cleared |= {"needs": {}, "optional": (), "covered_by": (), "each_covered_by": (),
                        "spared_by": {}, "not_assumed": (), "coverage": {},
                        "coverage_inputs": ()}  # fmt: skip
        if base.inputs:
            own = {item.name: item for item in changes["inputs"]}
            kept = [own.pop(item.name, item) for item in base.inputs]
            changes = {**changes, "inputs": (*kept, *own.values())}
    if "time" in changes:
        cleared["span"] = None
    if "span" in changes:
        cleared["time"] = ""
    return {**cleared, **changes}


def shape_of(measure: Measure) -> Shape:
    """The shape that the keys of a measure imply, where it states none."""
    if measure.inputs and not measure.relation:
        return "derived"
    if measure.span:
        return "state"
    return "event" if measure.time else "period"
