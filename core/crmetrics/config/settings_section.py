"""Reads `metrics.settings`: flat settings, and the settings of single KPIs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, Field, create_model

from crmetrics.config.plugin_sections import mappable, unknown_column, unknown_dataset
from crmetrics.config.settings import SETTINGS, Setting
from crmetrics.config.tree import (
    Listing,
    Path,
    Scalar,
    Section,
    dotted,
    find,
    is_empty,
    to_data,
)
from crmetrics.config.validation import check
from crmetrics.datasets import Dataset
from crmetrics.errors import Finding, did_you_mean
from crmetrics.options import Options

PATH: Path = ("metrics", "settings")


@cache
def settings_model() -> type[BaseModel]:
    """All known settings as one model; none is required."""
    fields: dict[str, Any] = {
        name: (setting.type | None, Field(default=None, description=_described(setting)))
        for name, setting in SETTINGS.items()
    }
    return create_model("Settings", __base__=Options, **fields)


def _described(setting: Setting) -> str:
    shown = [] if setting.default is None else [f"default: {setting.default!r}"]
    shown += [f"for {', '.join(setting.kpis)}"] if setting.kpis else []
    return "; ".join([setting.about, *shown])


def read_settings(
    root: Section, datasets: Mapping[str, Dataset]
) -> tuple[Mapping[str, Any], list[Finding]]:
    """The settings with their types, and what is wrong with them.

    A mapping under a name that is no setting belongs to the KPI of that id; whether there is such
    a KPI, and what else it can be told, is for the engine.
    """
    section = find(root, PATH)
    if not isinstance(section, Section):
        return MappingProxyType({}), []
    values, findings = _typed(root, PATH, section, tuple(SETTINGS))
    findings += _fields(root, PATH, section, datasets)
    for name, entry in section.entries.items():
        if name in SETTINGS:
            continue
        path = (*PATH, name)
        if isinstance(entry.node, Section):
            own, problems = _typed(root, path, entry.node, _settings_of(name))
            values[name] = MappingProxyType(own)
            findings += [*problems, *_fields(root, path, entry.node, datasets)]
        elif not is_empty(entry.node):
            hint = did_you_mean(name, SETTINGS) or "Settings of one KPI stand under its id."
            message = f"{dotted(PATH)}: unknown setting {name!r}."
            findings.append(entry.place.finding(message, hint))
    return MappingProxyType(values), findings


def _settings_of(kpi: str) -> tuple[str, ...]:
    """The settings whose type is known when they stand under this KPI."""
    return tuple(name for name, it in SETTINGS.items() if not it.kpis or kpi in it.kpis)


def _typed(
    root: Section, path: Path, section: Section, known: tuple[str, ...]
) -> tuple[dict[str, Any], list[Finding]]:
    """The known settings of a section with their types, the others (of a KPI) as written."""
    model, findings = check(settings_model(), root, path, section=section.select(known))
    values = {
        name: to_data(entry.node, {})
        for name, entry in section.entries.items()
        if path != PATH and name not in known
    }
    if model is not None:
        # Not set (`top_n:`) means the default, so it is left out.
        dumped = model.model_dump(include=model.model_fields_set)
        values |= {name: value for name, value in dumped.items() if value is not None}
    return values, findings


def _fields(
    root: Section, path: Path, section: Section, datasets: Mapping[str, Dataset]
) -> list[Finding]:
    """Unknown datasets and columns in the settings that name some."""
    findings: list[Finding] = []
    for setting in ("required_fields", "match_keys", "rules"):
        by_dataset = section.node(setting)
        for name, entry in by_dataset.entries.items() if isinstance(by_dataset, Section) else ():
            at: Path = (*path, setting, name)
            if name not in datasets:
                findings.append(unknown_dataset(root, at, datasets))
            elif setting != "rules" and isinstance(entry.node, Listing):
                known = {"source", *mappable(datasets[name])}
                findings += [
                    unknown_column(root, (*at, index), item.text, datasets[name])
                    for index, item in enumerate(entry.node.items)
                    if isinstance(item, Scalar) and item.text not in known
                ]
    return findings
