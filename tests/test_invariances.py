"""The way records arrive changes no number: order, files, sources, repeats, the dead among them.

From CSV through the warehouse to the KPIs; the numbers of one delivery are held against those of
another. Only what is said about the delivery itself may differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmetrics.engine import Project
from crmetrics.testing.data import SampleCrm
from reshaped_crm import (
    DATASETS,
    PACKS,
    Delivery,
    Key,
    Records,
    answers,
    deliver,
    delivered_again,
    in_any_order,
    with_the_dead,
)

DECEMBER = {"period": "2025-12"}
EXACT = ("status", "flags", "n", "unit")
NUMBERS = ("value", "numerator", "denominator", "interval_low", "interval_high")
OF_DELIVERY = ("rows_read", "duplicates", "excluded_deleted", "excluded_test", "excluded_parent")
CHANGES = (in_any_order, delivered_again, with_the_dead)
EACH_ITS_OWN = {name: name for name in DATASETS}

Rows = dict[Key, dict[str, Any]]


@pytest.fixture(scope="module")
def records() -> Records:
    crm = SampleCrm(seed=11, scale=0.05, start=date(2025, 1, 1), end=date(2026, 1, 1))
    return crm.records


@pytest.fixture(scope="module")
def plain(records: Records, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return deliver(tmp_path_factory.mktemp("plain"), records)


def by_dimensions(project: Project) -> dict[tuple[str, ...], list[str]]:
    """All KPIs by all of their dimensions."""
    found: dict[tuple[str, ...], list[str]] = {}
    for kpi in project.catalog.kpis.values():
        found.setdefault(kpi.dimensions, []).append(kpi.id)
    return found


def variants(project: Project, packs: tuple[str, ...]) -> list[str]:
    kpis = [kpi for kpi in project.catalog.kpis.values() if kpi.pack in packs]
    return [f"{kpi.id}.{name}" for kpi in kpis for name in kpi.variants if name]


def differences(before: Mapping[Key, Mapping[str, Any]], after: Rows) -> list[str]:
    found = [f"gone: {key}" for key in before if key not in after]
    found += [f"new: {key}" for key in after if key not in before]
    for key in before.keys() & after.keys():
        one, other = before[key], after[key]
        found += [f"{key}: {k} {one[k]} -> {other[k]}" for k in EXACT if one[k] != other[k]]
        unlike = [k for k in NUMBERS if not same(one[k], other[k])]
        found += [f"{key}: {k} {one[k]} -> {other[k]}" for k in unlike]
        if counts(one) != counts(other):
            found.append(f"{key}: coverage {counts(one)} -> {counts(other)}")
    return sorted(found)


def counts(row: Mapping[str, Any]) -> dict[str, float]:
    """What was counted besides the value, without what only the delivery is to blame for."""
    coverage = row["coverage"].items()
    return {name: count for name, count in coverage if count and name not in OF_DELIVERY}


def same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.slow
def test_no_number_of_any_kpi_depends_on_how_records_arrive(
    records: Records, plain: Project, tmp_path: Path
) -> None:
    # Everything at once: dead records among the others, all of them repeated, in two files per
    # dataset, and every dataset by a source of its own.
    changed = delivered_again(with_the_dead(records, Random(3)), Random(4))
    project = deliver(tmp_path, changed, files=2, owners=EACH_ITS_OWN)
    asked = by_dimensions(project)
    before = answers(plain, asked, **DECEMBER)
    assert {name.partition(".")[0] for name, _, _ in before} == set(plain.catalog.kpis)
    assert not differences(before, answers(project, asked, **DECEMBER))


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pack=st.sampled_from(PACKS),
    changes=st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3, unique=True),
    files=st.integers(1, 3),
    owners=st.fixed_dictionaries({name: st.sampled_from("ab") for name in DATASETS}),
    seed=st.integers(0, 2**32),
)
def test_the_variants_of_a_pack_whatever_happens_on_the_way(
    pack: str,
    changes: list[Delivery],
    files: int,
    owners: dict[str, str],
    seed: int,
    records: Records,
    plain: Project,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    changed = records
    for change in changes:
        changed = change(changed, Random(seed))
    folder = tmp_path_factory.mktemp("changed")
    project = deliver(folder, changed, files=files, owners=owners)
    asked: dict[tuple[str, ...], list[str]] = {(): variants(plain, (pack,))}
    before = answers(plain, asked, **DECEMBER)
    assert not differences(before, answers(project, asked, **DECEMBER))
