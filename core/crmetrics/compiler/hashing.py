"""The hash of a definition: what it says and everything that it is made of (Q3).

It is made of the words of the definition, never of how the engine holds them: a key that nobody
used, the place in a file, a comment or an indentation are not in it, so that another version of
crmetrics gives the same hash to the same definition.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct, field, structs

from crmetrics.catalog import Catalog, Input, Kpi, Measure, Segment
from crmetrics.compiler.needs import CUSTOMER_RELATIONS, ORDER_RELATIONS
from crmetrics.warehouse import business_hours
from crmetrics.warehouse.placeholders import placeholders, words

_NOT_SAID = frozenset({"pack", "part_of", "place", "places"})
_CIRCUMSTANCES = frozenset({"as_of", "as_of_day", "is_past"})
"""Values that definitions may name and that differ from run to run."""

_INPUT_KEYS = ("inputs", "coverage_inputs")
_NAMED_SETTING = re.compile(r"\$([A-Za-z_]\w*)")
_DIRECTIVE = re.compile(r"--\s*(materialized|for each|excluded:)")

Settings = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""(KPI id, the entry's own defaults) -> effective settings."""


def definition_hash(kpi: Kpi, variant: str, catalog: Catalog, settings_of: Settings) -> str:
    """Twelve hex digits that change when anything changes that makes the number: expressions,
    models and the models below them, inputs, segments and settings (Q3). Neither the data nor the
    groups that are asked for make a difference."""
    definition = _Definition(catalog, settings_of)
    content = {"kpi": definition.of(kpi, variant), "inputs": definition.known}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


class _Definition(Struct):
    """Collects what one KPI is made of. known: the KPIs below it, by name, each once."""

    catalog: Catalog
    settings_of: Settings
    known: dict[str, Any] = field(default_factory=dict)

    def of(self, kpi: Kpi, variant: str) -> dict[str, Any]:
        chosen = kpi.variant(variant)
        said = _said(chosen.measure)
        text = "\n".join(_texts(said))
        relations = self._relations(text)
        settings = self.settings_of(kpi.id, chosen.measure.settings)
        named = {*chosen.measure.settings, *_asked_for(said), *self._named(text, relations)}
        content = {
            "unit": chosen.unit or kpi.unit,
            "measure": said,
            "relations": relations,
            "segments": self._segments("\n".join([text, *_texts(relations)])),
            "settings": {name: str(settings[name]) for name in sorted(named) if name in settings},
            "reads": sorted({self._below(each, settings) for each in _inputs(chosen.measure)}),
        }
        return {key: found for key, found in content.items() if found}

    def _below(self, item: Input, settings: Mapping[str, Any]) -> str:
        """The name of the KPI that an input reads; what that is made of is collected too."""
        name = _NAMED_SETTING.sub(lambda match: str(settings.get(match[1], "")), item.kpi)
        if name not in self.known:
            self.known[name] = None  # before it is read: it may come round to itself
            self.known[name] = self.of(*self.catalog.input(name))
        return name

    def _relations(self, text: str) -> dict[str, Any]:
        """Every model and vector that a text names, directly or through others."""
        found: dict[str, Any] = {}
        waiting = [text]
        while waiting:
            for name in _words(waiting.pop()) - found.keys():
                if name in self.catalog.models:
                    found[name] = _sql(self.catalog.models[name].text)
                    waiting.append(found[name])
                elif name in self.catalog.vectors:
                    found[name] = _said(self.catalog.vectors[name])
                    waiting.append("\n".join(_texts(found[name])))
        return found

    def _segments(self, text: str) -> dict[str, Any]:
        return {
            each.name: [each.of, [*map(list, each.groups.items())], each.otherwise]
            for each in named_segments(text, self.catalog)
        }

    def _named(self, text: str, relations: Mapping[str, Any]) -> set[str]:
        """The settings that expressions and models name as `$setting`, or rest on."""
        named = set(placeholders(text))
        read = set(_words(text))
        for name, said in relations.items():
            sql = "\n".join(_texts(said))
            named.update(placeholders(sql))
            if name in self.catalog.models:
                named.add(self.catalog.models[name].for_each)
            read |= _words(sql)
        rests_on = {
            "customer_model": CUSTOMER_RELATIONS,
            "orders_from": ORDER_RELATIONS,
            business_hours.SETTING: (business_hours.MACRO,),
        }
        named.update(name for name, relied in rests_on.items() if read & {*relied})
        return named - _CIRCUMSTANCES


def named_segments(text: str, catalog: Catalog) -> list[Segment]:
    """The segments that the expressions in a text name."""
    segments = catalog.segments.values()
    return [each for each in segments if re.search(rf"\b{each.name}\b", text)]


def _said(thing: Any) -> Any:
    """What a part of a definition says, JSON-like: keys that it leaves out are not in it."""
    if isinstance(thing, Struct):
        return {
            name: _said(value)
            for name, default in _keys(type(thing))
            if (value := getattr(thing, name)) != default
        }
    if isinstance(thing, Mapping):
        return {str(key): _said(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_said(value) for value in thing]
    return _sql(thing) if isinstance(thing, str) else thing


@lru_cache(maxsize=64)
def _keys(kind: Any) -> tuple[tuple[str, Any], ...]:
    """The keys of a part of a definition, each with what it is when nobody states it."""
    return tuple(
        (each.name, each.default_factory() if callable(each.default_factory) else each.default)
        for each in structs.fields(kind)
        if each.name not in _NOT_SAID
    )


@lru_cache(maxsize=4096)
def _sql(text: str) -> str:
    """A text without indentation and lines of comment; a directive of a model is no comment."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return " ".join(
        line for line in lines if line and (not line.startswith("--") or _DIRECTIVE.match(line))
    )


def _inputs(measure: Measure) -> Iterator[Input]:
    """The inputs that name a KPI, at any depth of a measure and its alternatives."""
    changes = [alternative.changes for alternative in measure.alternatives]
    for item in (
        *measure.inputs,
        *measure.coverage_inputs,
        *(each for change in changes for key in _INPUT_KEYS for each in change.get(key, ())),
    ):
        if item.kpi:
            yield item
        if item.measure is not None:
            yield from _inputs(item.measure)


def _asked_for(said: Any) -> set[str]:
    """Settings that conditions, alternatives and relations ask for by their bare name."""
    if isinstance(said, dict):
        found = set().union(*map(_asked_for, said.values()))
        when = said.get("when") or ()
        found.update([when] if isinstance(when, str) else when)
        return found | {said.get("configured_by") or ""} - {""}
    return set().union(*map(_asked_for, said)) if isinstance(said, list) else set()


def _texts(said: Any) -> Iterator[str]:
    """All texts in what a definition says."""
    if isinstance(said, dict):
        said = said.values()
    if isinstance(said, str):
        yield said
    elif isinstance(said, Iterable):
        for each in said:
            yield from _texts(each)


@lru_cache(maxsize=1024)
def _words(text: str) -> frozenset[str]:
    return words(text)
