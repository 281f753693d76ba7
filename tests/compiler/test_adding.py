"""Sums of sums, and sums that go with medians: the groups of one plain aggregation."""

from __future__ import annotations

import random
from collections.abc import Sequence

import duckdb
import pytest

from crmetrics.compiler.adding import Adding, plain

DIMENSIONS = ("team", "stage")
GROUPINGS: Sequence[Sequence[str]] = [("stage",), ("stage", "team")]
MEDIAN = "quantile_cont(days, 0.5) filter (where NOT days IS NULL)"
FEW = ("count(*)", "sum(days)", "count(days) filter (where NOT days IS NULL)", "max(days)")
MANY = (*FEW, *(f"count(*) filter (where days > {least})" for least in range(20)))


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    chance = random.Random(1)
    made = duckdb.connect()
    made.execute('create table rows(window_id int, "by team" text, "by stage" text, days int)')
    rows = [
        (
            chance.randrange(3),
            chance.choice(["East", "West", "(none)"]),
            # All rows of one stage are without days: a group of nulls must not get lost.
            stage := chance.choice(["Offer", "Proof", "Lost count"]),
            None if stage == "Lost count" else chance.choice([None, *range(-2, 25)]),
        )
        for _ in range(400)
    ]
    made.executemany("insert into rows values (?, ?, ?, ?)", rows)
    return made


def _statement(*aggregates: str) -> str | None:
    named = {sql: f"a{number}" for number, sql in enumerate(aggregates)}
    return Adding("found", "select * from rows", DIMENSIONS, named, GROUPINGS).statement()


def _plain(con: duckdb.DuckDBPyConnection, *aggregates: str) -> list[tuple[object, ...]]:
    return [
        (window, team, stage, *values)
        for by in ('null, "by stage"', '"by team", "by stage"')
        for window, team, stage, *values in con.execute(
            f"select window_id, {by}, {', '.join(aggregates)} from rows group by all order by all"
        ).fetchall()
    ]


@pytest.mark.parametrize(
    ("aggregates", "steps"),
    [
        (FEW, ("cells", "added")),
        # Of some of the rows alone, or with much to add up, a median stands apart.
        ((*FEW, "median(days) filter (where days > 3)"), ("cells", "added", "others")),
        ((*FEW, MEDIAN, "median(days) filter (where days > 3)"), ("cells", "added", "others")),
        ((*MANY, MEDIAN), ("cells", "added", "others")),
    ],
)
def test_the_groups_are_those_of_one_aggregation(
    con: duckdb.DuckDBPyConnection, aggregates: Sequence[str], steps: Sequence[str]
) -> None:
    statement = _statement(*aggregates)
    assert statement is not None
    found = [step for step in ("cells", "added", "others") if f"{step} as (" in statement]
    assert found == list(steps)
    con.execute(statement)
    shown = ", ".join(f"a{number}" for number in range(len(aggregates)))
    rows = con.execute(f'select window_id, "by team", "by stage", {shown} from found').fetchall()
    assert sorted(rows, key=str) == sorted(_plain(con, *aggregates), key=str)


@pytest.mark.parametrize("other", [MEDIAN, "median(days)", "count(distinct days)"])
def test_a_few_sums_go_with_what_goes_through_all_rows(other: str) -> None:
    assert _statement(*FEW, other) is None
    assert _statement(*MANY, other) is not None


@pytest.mark.parametrize(
    ("sql", "without"),
    [
        (MEDIAN, "quantile_cont(days, 0.5)"),
        ("MEDIAN(days) filter (where NOT days IS NULL)", "MEDIAN(days)"),
        ("count(days) filter (where NOT days IS NULL)", "count(days)"),
        # These say more than that nulls do not count, are of something else, or keep nulls.
        ("median(coalesce(days, 0)) filter (where NOT days IS NULL)", ""),
        ("median(days) filter (where NOT window_id IS NULL)", ""),
        ("median(days) filter (where (NOT days IS NULL) AND (days > 3))", ""),
        ("list(days) filter (where NOT days IS NULL)", ""),
        ("first(days) filter (where NOT days IS NULL)", ""),
        ("count(*) filter (where NOT days IS NULL)", ""),
    ],
)
def test_a_filter_that_only_leaves_out_nulls_is_none(
    con: duckdb.DuckDBPyConnection, sql: str, without: str
) -> None:
    assert plain(sql) == (without or sql)
    assert _plain(con, plain(sql)) == _plain(con, sql)
