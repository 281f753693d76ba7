"""Datasets that come in parts: a part that is read again replaces what it gave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crmetrics.warehouse import LoadSession
from warehouse.loading import gone, load, on, open_warehouse, part, rows, stored


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LoadSession]:
    with open_warehouse(tmp_path) as opened:
        yield opened


def spares(session: LoadSession) -> list[tuple[str, str]]:
    """Key and part of the copies that wait."""
    return session.rows("select id, _part from spare.opportunities order by all")


def test_rows_that_a_part_no_longer_holds_disappear(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1", "2"]), part("b"), rows(id=["3"]))
    report = load(session, part("a"), rows(id=["2", "4"]))
    assert (report.inserted, report.updated, report.replaced) == (1, 1, 1)
    assert stored(session, "id", "_part") == [("2", "a"), ("3", "b"), ("4", "a")]


def test_a_dropped_part_takes_its_rows_along(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"]), part("b"), rows(id=["2"]))
    report = load(session, gone("a"))
    assert (report.fetched, report.replaced, report.rows) == (0, 1, 1)
    assert stored(session, "id") == [("2",)]


def test_a_part_that_became_empty_leaves_no_row(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"]))
    assert load(session, part("a")).replaced == 1
    assert stored(session, "id") == []


def test_a_row_that_moved_to_another_part_stays(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1", "2"], stage=["x", "y"]))
    report = load(session, gone("a"), part("b"), rows(id=["2", "3"], stage=["Y", "Z"]))
    assert (report.inserted, report.updated, report.replaced) == (1, 1, 1)
    assert stored(session, "id", "stage", "_part") == [("2", "Y", "b"), ("3", "Z", "b")]


def test_a_part_read_again_wins_even_when_its_rows_are_older_now(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"], updated_at=[on(5)], stage=["wrong"]))
    load(session, part("a"), rows(id=["1"], updated_at=[on(4)], stage=["corrected"]))
    assert stored(session, "stage") == [("corrected",)]


def test_a_column_that_a_part_lost_is_empty(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"], stage=["won"]), part("b"), rows(id=["2"], stage=["x"]))
    load(session, part("a"), rows(id=["1"], amount=[5]))
    assert stored(session, "id", "stage") == [("1", None), ("2", "x")]


def test_parts_of_another_source_are_not_touched(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"]), source="north")
    load(session, part("a"), rows(id=["2"]), source="south")
    load(session, gone("a"), source="south")
    assert stored(session, "source", "id") == [("north", "1")]


def test_a_part_name_may_hold_anything(session: LoadSession) -> None:
    name = "exports/2026 'Q1' \"x\"; drop table crm.opportunities -- ☃.csv"
    load(session, part(name), rows(id=["1"]))
    load(session, part(name), rows(id=["2"]))
    assert stored(session, "id", "_part") == [("2", name)]


# --- one key in several parts ----------------------------------------------------------------


def test_of_two_parts_the_newer_copy_stands_and_the_other_waits(session: LoadSession) -> None:
    report = load(
        session,
        part("a"),
        rows(id=["1"], updated_at=[on(3)], stage=["newer"]),
        part("b"),
        rows(id=["1"], updated_at=[on(2)], stage=["older"]),
    )
    assert (report.landed, report.duplicates) == (1, 1)
    assert stored(session, "stage", "_part") == [("newer", "a")]
    assert spares(session) == [("1", "b")]


def test_the_waiting_copy_comes_back_when_the_newer_part_goes(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"], updated_at=[on(3)], stage=["newer"]))
    load(session, part("b"), rows(id=["1", "2"], updated_at=[on(2)] * 2, stage=["older", "two"]))
    report = load(session, gone("a"))
    assert (report.fetched, report.landed, report.rows) == (0, 0, 2)
    assert stored(session, "id", "stage", "_part") == [("1", "older", "b"), ("2", "two", "b")]
    assert spares(session) == []


def test_the_waiting_copy_comes_back_when_the_newer_part_lost_the_row(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"], updated_at=[on(3)]))
    load(session, part("b"), rows(id=["1"], updated_at=[on(2)]))
    load(session, part("a"), rows(id=["9"], updated_at=[on(4)]))
    assert stored(session, "id", "_part") == [("1", "b"), ("9", "a")]


def test_the_waiting_copy_overtakes_a_row_that_became_older(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"], updated_at=[on(5)], stage=["a"]))
    load(session, part("b"), rows(id=["1"], updated_at=[on(3)], stage=["b"]))
    load(session, part("a"), rows(id=["1"], updated_at=[on(1)], stage=["a, corrected"]))
    assert stored(session, "stage", "_part") == [("b", "b")]
    assert spares(session) == [("1", "a")]


def test_a_waiting_copy_goes_with_its_own_part(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"], updated_at=[on(3)]))
    load(session, part("b"), rows(id=["1"], updated_at=[on(2)]))
    load(session, gone("b"))
    load(session, gone("a"))
    assert stored(session, "id") == []
    assert spares(session) == []


def test_without_change_times_the_last_part_by_name_stands(session: LoadSession) -> None:
    load(session, part("2026-02"), rows(id=["1"], stage=["february"]))
    load(session, part("2026-01"), rows(id=["1"], stage=["january"]))
    assert stored(session, "stage") == [("february",)]


def test_the_last_part_by_name_stands_in_one_load_too(session: LoadSession) -> None:
    load(
        session,
        part("2026-02"),
        rows(id=["1"], stage=["february"]),
        part("2026-01"),
        rows(id=["1"], stage=["january"]),
    )
    assert stored(session, "stage") == [("february",)]


def test_a_waiting_copy_does_not_outlive_its_own_part_read_again(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"], updated_at=[on(3)]))
    load(session, part("b"), rows(id=["1"], updated_at=[on(2)]))
    load(session, part("b"), rows(id=["2"], updated_at=[on(2)]))
    load(session, gone("a"))
    assert stored(session, "id") == [("2",)]


def test_a_full_read_forgets_waiting_copies(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"]), part("b"), rows(id=["1"]))
    assert spares(session) == [("1", "a")]
    load(session, part("b"), rows(id=["1"]), replaces=True)
    assert spares(session) == []
    load(session, gone("b"))
    assert stored(session, "id") == []


def test_a_source_that_gives_up_parts_leaves_no_copies_waiting(session: LoadSession) -> None:
    load(session, part("a"), rows(id=["1"], stage=["old"]))
    load(session, rows(id=["1"], stage=["new"]))
    load(session, gone("a"))
    assert stored(session, "id", "stage", "_part") == [("1", "new", None)]
