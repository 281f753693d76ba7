"""The benchmarks: product and hand-written SQL give one answer, and a difference is told."""

from __future__ import annotations

from datetime import date

import pytest
from benchmarks import sales_pack, twelve_kpis
from benchmarks.comparing import Case, compare, row_differences
from benchmarks.workload import Workload

KEY = ("win_rate", date(2025, 1, 1), "team", "East", "")


@pytest.mark.slow
@pytest.mark.parametrize("case", [sales_pack.CASE, twelve_kpis.CASE], ids=lambda case: case.module)
def test_every_figure_of_the_product_is_that_of_the_yardstick(case: Case) -> None:
    found = compare(Workload("XS").make(), case)
    assert found["figures"] > 5 * found["values"] > 25_000


def test_a_zero_count_may_be_left_out_and_nothing_else() -> None:
    row = {"value": 0.5, "n": 4, "flags": ["partial", "low_sample"], "orphan": 0}
    same = {
        "value": 0.5 + 1e-12,
        "n": 4,
        "flags": ["low_sample", "partial"],
        "missing_amount": None,
    }
    assert row_differences({KEY: row}, {KEY: same}) == []
    assert len(row_differences({KEY: row}, {})) == len(row)
    for name, other in {"value": None, "n": 0, "flags": [], "orphan": 1}.items():
        (told,) = row_differences({KEY: row}, {KEY: {**row, name: other}})
        assert (
            told == f"win_rate 2025-01-01 team East  {name}: engine {row[name]}, yardstick {other}"
        )
