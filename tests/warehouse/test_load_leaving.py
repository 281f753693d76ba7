"""Many records that leave at once: they may be hidden and not gone, so somebody has to know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from crmetrics.warehouse import LoadReport, LoadSession
from warehouse.loading import Step, gone, load, on, open_warehouse, part, rows


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LoadSession]:
    with open_warehouse(tmp_path) as opened:
        yield opened


def ids(first: int, until: int) -> list[str]:
    return [str(number) for number in range(first, until)]


def left(report: LoadReport) -> list[str]:
    return [
        notice.partition(" have left:")[0] for notice in report.notices if " have left:" in notice
    ]


def retained(first: int, until: int) -> Step:
    return lambda intake: intake.retain(pa.array(ids(first, until), pa.string()))


@pytest.mark.parametrize("is_whole", [False, True])
@pytest.mark.parametrize(
    ("before", "staying", "told"),
    [
        (200, 180, ["20 of 200 records"]),
        (200, 181, []),  # fewer than 20
        (201, 181, []),  # less than a tenth
        (1500, 0, ["1,500 of 1,500 records"]),
    ],
)
def test_that_many_records_left_at_once_is_told(
    session: LoadSession, is_whole: bool, before: int, staying: int, told: list[str]
) -> None:
    load(session, rows(id=ids(0, before)))
    kept = pa.array(ids(0, staying), pa.string())
    step = rows(id=kept) if is_whole else retained(0, staying)
    report = load(session, step, started=on(11), replaces=is_whole)
    assert (report.replaced if is_whole else report.deleted) == before - staying
    assert left(report) == told
    assert left(load(session, step, started=on(12), replaces=is_whole)) == []


def test_what_came_in_the_same_read_is_no_part_of_what_stood(session: LoadSession) -> None:
    load(session, rows(id=ids(0, 100)))
    load(session, rows(id=ids(0, 500)), source="other")
    report = load(session, rows(id=ids(200, 600)), retained(20, 600))
    assert left(report) == ["20 of 100 records"]


def test_records_that_were_marked_deleted_before_leave_unnoticed(session: LoadSession) -> None:
    load(session, rows(id=ids(0, 200)))
    load(session, lambda intake: intake.delete(ids(0, 100)))
    report = load(session, rows(id=ids(100, 200)), replaces=True)
    assert report.replaced == 100
    assert left(report) == []


def test_records_that_the_source_calls_deleted_are_no_riddle(session: LoadSession) -> None:
    load(session, rows(id=ids(0, 200)))
    assert left(load(session, lambda intake: intake.delete(ids(0, 100)))) == []
    gone_too = rows(id=ids(100, 200), is_deleted=[True] * 100)
    assert left(load(session, gone_too)) == []


def test_records_of_a_part_that_is_gone_are_told(session: LoadSession) -> None:
    load(session, part("a"), rows(id=ids(0, 50)), part("b"), rows(id=ids(50, 100)))
    assert left(load(session, gone("b"))) == ["50 of 100 records"]


def test_who_changed_a_rule_is_not_told_that_records_are_hidden(session: LoadSession) -> None:
    load(session, rows(id=ids(0, 100)))
    assert left(load(session, rows(id=["0"]), replaces=True, former_rules=True)) == []


def test_a_dataset_without_a_mark_of_deletion_is_counted_too(session: LoadSession) -> None:
    days = [on(day).date() for day in range(1, 31)]

    def rates(count: int) -> pa.RecordBatch:
        return rows(currency=["EUR"] * count, valid_from=days[:count], rate=[1.5] * count)

    columns = ("currency", "valid_from", "rate")
    load(session, rates(30), dataset="exchange_rates", columns=columns)
    report = load(session, rates(5), dataset="exchange_rates", columns=columns, replaces=True)
    assert left(report) == ["25 of 30 records"]
