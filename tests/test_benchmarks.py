"""The benchmarks: product and hand-written SQL give one answer, and a difference is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial

import pytest
from benchmarks import sales_pack, twelve_kpis
from benchmarks.comparing import Case, compare, row_differences
from benchmarks.measuring import rounds_in_turns
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


def test_works_in_turns_are_done_forwards_and_backwards_after_a_round_that_does_not_count() -> None:
    done: list[str] = []

    @contextmanager
    def opened(name: str) -> Iterator[Callable[[], object]]:
        done.append(f"open {name}")
        yield lambda: done.append(name)
        done.append(f"close {name}")

    found = rounds_in_turns({name: partial(opened, name) for name in ("total", "by team")}, 2)

    assert [set(costs) for costs in found] == [{"total", "by team"}] * 2
    assert all(0 <= cost < 1 for costs in found for cost in costs.values())
    assert done[:3] == ["open by team", "by team", "close by team"]
    assert done[1::3] == ["by team", "total", "total", "by team", "by team", "total"]
