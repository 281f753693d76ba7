"""Several sets of dimensions at once: the same groups whether the rows are few or many."""

from __future__ import annotations

import duckdb
import pytest

from crmetrics.compiler.grouping import grouped

DEALS = """create table deals as
select * from (values
  (1, 'East', 'web', 10), (1, 'East', 'fair', 20), (1, 'West', 'web', 40), (2, '(none)', 'web', 80)
) d(window_id, "by team", "by lead_source", amount)"""

BOTH = [("team",), ("lead_source",)]


def groups(groupings: list[tuple[str, ...]], *, are_few: bool) -> list[tuple[object, ...]]:
    aggregates = ["sum(amount) as a0", "count(*) filter (where amount > 15) as a1"]
    with duckdb.connect() as con:
        con.execute(DEALS)
        query = grouped("deals", "window_id", groupings, aggregates, are_few=are_few)
        return sorted(con.execute(query).fetchall(), key=str)


@pytest.mark.parametrize("are_few", [False, True])
def test_every_set_has_its_groups(are_few: bool) -> None:
    assert groups([(), *BOTH, ("team", "lead_source")], are_few=are_few) == sorted(
        [
            (1, None, None, 70, 2),
            (2, None, None, 80, 1),
            (1, "East", None, 30, 1),
            (1, "West", None, 40, 1),
            (2, "(none)", None, 80, 1),
            (1, None, "web", 50, 1),
            (1, None, "fair", 20, 1),
            (2, None, "web", 80, 1),
            (1, "East", "web", 10, 0),
            (1, "East", "fair", 20, 1),
            (1, "West", "web", 40, 1),
            (2, "(none)", "web", 80, 1),
        ],
        key=str,
    )


@pytest.mark.parametrize("are_few", [False, True])
def test_a_dimension_of_all_sets_is_in_every_group(are_few: bool) -> None:
    assert groups([("team",), ("team", "lead_source")], are_few=are_few) == sorted(
        [
            (1, "East", None, 30, 1),
            (1, "West", None, 40, 1),
            (2, "(none)", None, 80, 1),
            (1, "East", "web", 10, 0),
            (1, "East", "fair", 20, 1),
            (1, "West", "web", 40, 1),
            (2, "(none)", "web", 80, 1),
        ],
        key=str,
    )


@pytest.mark.parametrize("are_few", [False, True])
@pytest.mark.parametrize("groupings", [[()], [(), ()]])
def test_a_set_that_is_named_twice_counts_once(
    groupings: list[tuple[str, ...]], are_few: bool
) -> None:
    assert groups(groupings, are_few=are_few) == [(1, 70, 2), (2, 80, 1)]


@pytest.mark.parametrize("are_few", [False, True])
def test_the_order_of_dimensions_makes_no_other_set(are_few: bool) -> None:
    both = [("team", "lead_source"), ("lead_source", "team")]
    assert groups(both, are_few=are_few) == groups(both[:1], are_few=False)
