"""The hash of a definition: what it says and everything that it is made of (Q3)."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

from crmetrics.catalog import NOWHERE, Catalog, Segment
from crmetrics.compiler.plan import Part


def definition_hash(unit: str, part: Part, catalog: Catalog) -> str:
    """Twelve hex digits that change when anything changes that makes the number: expressions,
    models and settings (Q3)."""
    content = _content(part, catalog)
    content["unit"] = unit
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _content(part: Part, catalog: Catalog) -> dict[str, Any]:
    measure = replace(part.measure, places={}, alternatives=())
    model = catalog.models.get(measure.relation.partition("__")[0])
    vector = catalog.vectors.get(measure.relation)
    text = repr(replace(vector, place=NOWHERE)) if vector else ""
    segments = {
        each.name: [*each.groups.items(), each.otherwise]
        for each in named_segments(repr(measure), catalog)
    }
    return {
        "measure": repr(measure),
        "model": model.text if model else text,
        "settings": {key: str(value) for key, value in sorted(part.settings.items())
                     if key in measure.settings},
        "inputs": {name: _content(child, catalog) for name, child in part.inputs.items()},
        **({"segments": segments} if segments else {}),
    }  # fmt: skip


def named_segments(measure: str, catalog: Catalog) -> list[Segment]:
    """The segments that a measure names in its expressions."""
    segments = catalog.segments.values()
    return [each for each in segments if re.search(rf"\b{each.name}\b", measure)]
