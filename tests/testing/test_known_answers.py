"""The engine and the plain loops of the sample, which share no line, give the same figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing import SampleCrm, load_tables, write_project
from crmetrics.testing.data.truth import BY_GROUP, FIGURES, Truth

pytestmark = pytest.mark.slow

KPIS = sorted(set(FIGURES) - {"lost_count"})
YEARS: dict[str, Any] = {"start": date(2023, 1, 1), "end": date(2026, 1, 1)}
NEW_YORK = "America/New_York"
DIMENSIONS = {"team": "owner.team", "segment": "account.segment"}


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm()


class Opened:
    """The sample in the warehouse of a project, per reporting zone, with its known answers."""

    def __init__(self, crm: SampleCrm, folder: Path) -> None:
        self.crm = crm
        self.folder = folder
        self.projects: dict[str, Project] = {}

    def project(self, zone: str) -> Project:
        if zone not in self.projects:
            folder = self.folder / zone
            write_project(folder, {}, reporting={"timezone": zone})
            load_tables(folder, self.crm.tables)
            now = datetime(2026, 6, 1, tzinfo=UTC)
            self.projects[zone] = Project(folder, environ={}, now=lambda: now)
        return self.projects[zone]

    def truth(self, zone: str) -> Truth:
        return self.crm.truth if zone == "UTC" else self.crm.truth_in(zone)

    def values(self, zone: str, kpis: list[str], key: str = "", **asked: Any) -> dict[str, Any]:
        """KPI -> period (with the segment's `key`, if one is named) -> value."""
        found: dict[str, Any] = {kpi: {} for kpi in kpis}
        for row in self.project(zone).query(kpis, **asked).to_pylist():
            period = row["period_start"]
            name = f"{row['kpi']}.{row['variant']}".rstrip(".")
            found[name][(period, dict(row["segment"])[key]) if key else period] = row["value"]
        return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    return Opened(SampleCrm(), tmp_path_factory.mktemp("sample"))


def different(found: Mapping[Any, Any], known: Mapping[Any, Any]) -> dict[Any, Any]:
    """What is not equal, as key -> (found, known)."""
    return {
        key: (found.get(key, "absent"), known.get(key, "absent"))
        for key in found.keys() | known.keys()
        if not is_equal(found.get(key, "absent"), known.get(key, "absent"))
    }


def is_equal(found: Any, known: Any) -> bool:
    if isinstance(found, float) and isinstance(known, float | int):
        return found == pytest.approx(known, rel=1e-9, abs=1e-9)
    return bool(found == known)


@pytest.mark.parametrize(
    ("zone", "grain"), [("UTC", "month"), ("UTC", "quarter"), ("UTC", "year"), (NEW_YORK, "month")]
)
def test_every_figure_is_the_known_one(opened: Opened, zone: str, grain: Any) -> None:
    found = opened.values(zone, KPIS, grain=grain, **YEARS)
    truth = opened.truth(zone)
    wrong = {kpi: different(found[kpi], truth.figure(kpi, grain=grain)) for kpi in KPIS}
    assert not {kpi: differences for kpi, differences in wrong.items() if differences}


@pytest.mark.parametrize("by", sorted(DIMENSIONS))
def test_every_group_is_the_known_one(opened: Opened, by: Any) -> None:
    kpis = sorted(set(BY_GROUP) - {"lost_count"})
    dimension = DIMENSIONS[by]
    found = opened.values("UTC", kpis, dimension, grain="month", by=[dimension], **YEARS)
    for kpi in kpis:
        assert not different(found[kpi], opened.truth("UTC").groups(kpi, by)), kpi


@pytest.mark.parametrize("zone", ["UTC", NEW_YORK])
@pytest.mark.parametrize("variant", ["", "mean", "p90", "won_only"])
def test_time_in_each_stage_is_the_known_one(opened: Opened, zone: str, variant: Any) -> None:
    kpi = f"stage_duration.{variant}".rstrip(".")
    found = opened.values(zone, [kpi], "stage", grain="month", **YEARS)[kpi]
    assert not different(found, opened.truth(zone).stage_duration(variant))


def test_coverage_of_the_running_quarter_is_the_known_one(opened: Opened) -> None:
    start, end = date(2026, 1, 1), date(2026, 4, 1)
    as_of = opened.crm.exported_at
    found = opened.values("UTC", ["pipeline_coverage"], period="2026-Q1", as_of=as_of)
    known = opened.truth("UTC").pipeline_coverage(start, end, as_of)
    assert not different(found["pipeline_coverage"], {start: known})


def test_dirt_is_counted_with_the_values(opened: Opened) -> None:
    counts: dict[str, float] = {}
    for row in opened.project("UTC").query(["won_amount"], grain="year", **YEARS).to_pylist():
        for key, value in row["coverage"]:
            counts[key] = counts.get(key, 0) + value
    for key in ("missing_amount", "missing_rate", "excluded_deleted", "excluded_test"):
        assert counts.get(key, 0) > 0, key
