"""Every KPI and variant has an independent answer by month, in total and by two dimensions.

Which ones have is read off the tests of this folder: off the parameters that they run with.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from crmetrics.catalog import Kpi, load_catalog
from crmetrics.plugin import MetricPack
from metrics.recounts import dimensions, recounts_of

HERE = Path(__file__).resolve().parent
PACKS = ("sales", "leads", "retention", "revenue", "marketing", "service", "adoption", "roi")
ELSEWHERE = {
    "goal_attainment": "a row per goal, whatever the month: test_goal_attainment.py",
    "revenue_forecast.trend": "a projection of a series: tests/engine/test_projections.py",
}
FEWER = {
    "sales_forecast_accuracy.company_level": "the company's forecast has a category alone",
    "crm_roi.payback_days": "benefits of one category never pay the costs of another",
}


def _compared() -> dict[str, set[str]]:
    """KPI or variant -> the dimensions by which a test recounts it; "" = in total."""
    found: dict[str, set[str]] = {}
    for file in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(f"metrics.{file.stem}")
        for name, test in vars(module).items():
            if name.startswith("test_"):
                for kpi, by in recounts_of(test):
                    found.setdefault(kpi, set()).add(by)
    return found


def _named() -> Iterator[tuple[str, Kpi, str]]:
    packs = [MetricPack.from_package(f"crmetrics_{name}") for name in PACKS]
    for kpi in load_catalog(packs).kpis.values():
        for variant in kpi.variants:
            yield f"{kpi.id}.{variant}".rstrip("."), kpi, variant


COMPARED = _compared()
NAMED = {name: (kpi, variant) for name, kpi, variant in _named()}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_kpi_is_recounted_by_month_and_by_two_dimensions(name: str) -> None:
    if name in ELSEWHERE:
        assert name not in COMPARED
        return
    kpi, variant = NAMED[name]
    always = set(kpi.variants[variant].measure.always_by)
    asked = [set(dimensions(by)) for by in COMPARED.get(name, ())]
    assert always in asked, f"no test recounts {name} by month"
    by = set().union(*asked)
    wanted = min(2, len(always | set(kpi.dimensions)))
    assert (len(by) < wanted) == (name in FEWER), f"{name} is recounted by {sorted(by)} alone"


def test_no_test_recounts_what_is_no_kpi() -> None:
    assert COMPARED.keys() <= NAMED.keys()
    assert {*ELSEWHERE, *FEWER} <= NAMED.keys()
