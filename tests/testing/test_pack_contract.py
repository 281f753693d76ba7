"""The pack contract passes a good pack and finds each mistake of a bad one."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crmetrics.catalog import load_catalog
from crmetrics.errors import CrmetricsError
from crmetrics.plugin import MetricPack
from crmetrics.testing import PackContract

PACK = """
pack: desk
title: Desk
about: How the desk sells.
kpis:
  large_deals:
    title: Large deals
    question: How many large deals did we win?
    unit: count
    better: higher
    from: opportunities
    time: close_date
    where: is_won and amount_rc >= $smallest
    value: count(*)
    settings: {smallest: 1000}
    dimensions: [owner_id, owner.team]
    variants:
      share:
        about: Large deals out of all won ones.
        unit: percent
        where: is_won
        numerator: count(*) filter (where amount_rc >= $smallest)
        denominator: count(*)
      amount:
        about: What the deals were worth, large or not.
        unit: currency
        where: is_won
        value: sum(amount_rc)
    guardrails: [large_deals]
    mistakes: Counting open deals.
    source: house rule
"""
EXAMPLE = """
@opportunities
id,owner_id,close_date,is_closed,is_won,amount
1,u1,2026-01-05,true,true,1000
2,u1,2026-01-06,true,true,999
3,u2,2026-01-07,true,true,
@users
id,team
u1,East
u2,West
@expected
kpi,value,by,segment,status,n,coverage
large_deals,1,,,ok,1,
large_deals.amount,1999,,,,,missing_amount=1
large_deals.share,0.5,owner.team,owner.team=East,,,
"""


def written(folder: Path, pack: str = PACK, example: str = EXAMPLE) -> MetricPack:
    (folder / "examples").mkdir(parents=True)
    (folder / "pack.yaml").write_text(textwrap.dedent(pack), encoding="utf-8")
    (folder / "examples" / "deals.csv").write_text(example.lstrip(), encoding="utf-8")
    return MetricPack("desk", folder)


class TestDesk(PackContract):
    @pytest.fixture
    def pack(self, tmp_path: Path) -> MetricPack:
        return written(tmp_path / "desk")


def objection(pack: MetricPack, test: str, folder: Path) -> str:
    """What a test of the contract objects to; fails when it objects to nothing."""
    contract = TestDesk()
    function: Callable[..., None] = getattr(contract, f"test_{test}")
    values: dict[str, Any] = {
        "pack": pack,
        "companions": (),
        "examples": sorted((pack.path / "examples").glob("*.csv")),
        "tmp_path": folder / "project",
    }
    wanted = inspect.signature(function).parameters
    with pytest.raises((AssertionError, CrmetricsError)) as caught:
        if "catalog" in wanted:
            values["catalog"] = load_catalog([pack])
        function(**{name: values[name] for name in wanted})
    return str(caught.value)


MISTAKES = [
    ("mistakes: Counting", "mistake: Counting", "the_definitions_load_without_findings", "mistake"),
    ("title: Large deals", "title: ''", "every_kpi_says_what_it_answers", "title"),
    ("source: house rule", "", "every_kpi_says_what_it_answers", "source"),
    ("unit: count", "unit: pieces", "every_value_has_a_unit_and_a_good_direction", "unit"),
    ("better: higher", "better: bigger", "every_value_has_a_unit_and_a_good_direction", "better"),
    ("amount_rc >= $smallest\n    value", "amuont_rc > 1\n    value", "every_expression_binds",
     "amuont_rc"),
    ("owner.team]", "owner.taem]", "every_expression_binds", "taem"),
    ("denominator: count(*)", "denominator: count(x)", "every_expression_binds", "x"),
    (">= $smallest)", "> $smallest)", "the_worked_examples_give_their_values", "share"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "test", "named"), MISTAKES)
def test_a_mistake_in_a_definition_is_found(
    tmp_path: Path, right: str, wrong: str, test: str, named: str
) -> None:
    assert right in PACK
    pack = written(tmp_path / "desk", PACK.replace(right, wrong, 1))
    assert named in objection(pack, test, tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ("large_deals,1,", "large_deals,2,", "deals.csv:12: large_deals expected 2.0, found 1.0"),
        ("large_deals,1,", "large_deals,,", "large_deals expected None, found 1.0"),
        (",ok,1,", ",no_data,1,", "expected status no_data, found ok"),
        (",ok,1,", ",ok,7,", "expected n 7, found 1"),
        ("missing_amount=1", "missing_amount=2", "expected missing_amount = 2, found 1"),
        ("owner.team=East", "owner.team=North", "expected one row for {'owner.team': 'North'}"),
        ("@expected", "@settings", "no column 'kpi'"),
    ],
)
def test_a_wrong_worked_example_is_found(
    tmp_path: Path, right: str, wrong: str, named: str
) -> None:
    assert right in EXAMPLE
    pack = written(tmp_path / "desk", example=EXAMPLE.replace(right, wrong, 1))
    assert named in objection(pack, "the_worked_examples_give_their_values", tmp_path)


def test_a_pack_without_examples_or_definitions_is_found(tmp_path: Path) -> None:
    pack = written(tmp_path / "desk")
    (pack.path / "examples" / "deals.csv").unlink()
    test = "the_worked_examples_give_their_values"
    assert "no worked example" in objection(pack, test, tmp_path)
    (pack.path / "pack.yaml").unlink()
    assert "no KPI" in objection(pack, "the_definitions_load_without_findings", tmp_path)


def test_an_example_that_expects_nothing_is_found(tmp_path: Path) -> None:
    pack = written(tmp_path / "desk", example=EXAMPLE.partition("@expected")[0])
    test = "the_worked_examples_give_their_values"
    assert "@expected is missing" in objection(pack, test, tmp_path)
