"""What judging and reporting need of the definitions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from crmetrics.catalog.definition import Kpi, Measure
from crmetrics.goals.model import KpiTraits
from crmetrics.goals.verdicts import kpi_name

_AVERAGES = re.compile(r"\s*(?:avg|mean|median|quantile_cont|percentile_cont|min|max|mode)\s*\(")
_USER_FACTS = frozenset({"users", "user_activity", "training_enrollments"})
_USER_PACK = "adoption"


def kpi_traits(kpis: Iterable[Kpi]) -> dict[str, KpiTraits]:
    """The traits of every KPI and variant, by `ID` and `ID.VARIANT`."""
    found = {}
    for kpi in kpis:
        for name, variant in kpi.variants.items():
            title = f"{kpi.title}, {name.replace('_', ' ')}" if name else kpi.title
            unit = variant.unit or kpi.unit
            found[kpi_name(kpi.id, name)] = KpiTraits(
                title=variant.title or title,
                unit=unit,
                better=kpi.better,
                adds_up=_adds_up(kpi, variant.measure, unit),
                is_snapshot=_is_snapshot(kpi, variant.measure),
                is_about_users=_is_about_users(kpi, variant.measure),
            )
    return found


def _adds_up(kpi: Kpi, measure: Measure, unit: str) -> bool:
    """True unless it is surely no sum: a goal is rather not judged than judged by a wrong span."""
    if unit not in ("count", "currency") or measure.is_ratio:
        return False
    if _is_snapshot(kpi, measure):
        return False
    return not _AVERAGES.match(measure.value)


def _is_snapshot(kpi: Kpi, measure: Measure) -> bool:
    return measure.shape == "state" or kpi.kind == "snapshot"


def _is_about_users(kpi: Kpi, measure: Measure) -> bool:
    facts = set(_facts(measure))
    if kpi.pack == _USER_PACK:
        return bool(facts & _USER_FACTS)
    # Elsewhere a model may need users for their team alone.
    return measure.relation in _USER_FACTS or bool(facts & (_USER_FACTS - {"users"}))


def _facts(measure: Measure) -> Iterator[str]:
    """The relation and the datasets that a measure and its inputs read."""
    yield measure.relation
    yield from measure.needs
    for operand in measure.inputs:
        if operand.measure is not None:
            yield from _facts(operand.measure)
