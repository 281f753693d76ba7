"""Parquet files: typed fields and text fields."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project


def write(project: Project, columns: dict[str, pa.Array], name: str = "opportunities") -> None:
    length = len(next(iter(columns.values())))
    ids = pa.array([str(number) for number in range(length)])
    pq.write_table(pa.table({"id": ids, **columns}), project.directory / f"{name}.parquet")


def one(project: Project, column: str, array: pa.Array, **options: Any) -> list[Any]:
    write(project, {column: array})
    return project.read("opportunities", columns=[column], **options).column(column)


NOON = datetime(2024, 3, 1, 12)


@pytest.mark.parametrize(
    ("column", "array", "expected"),
    [
        ("amount", pa.array([1.23456, float("nan"), None]), [Decimal("1.2346"), None, None]),
        ("amount", pa.array([5, None], pa.int16()), [Decimal("5.0000"), None]),
        ("amount", pa.array([Decimal("1.234567")]), [Decimal("1.2346")]),
        ("amount", pa.array([Decimal("-1.23455")], pa.decimal256(60, 20)), [Decimal("-1.2346")]),
        ("amount", pa.array(["1.5", "", "NULL"]), [Decimal("1.5000"), None, None]),
        ("probability", pa.array([1, 2], pa.uint8()), [1.0, 2.0]),
        ("probability", pa.array([Decimal("0.25")]), [0.25]),
        ("is_won", pa.array([True, None]), [True, None]),
        ("is_won", pa.array([1, 0, None]), [True, False, None]),
        ("is_won", pa.array(["yes", "n"]), [True, False]),
        ("close_date", pa.array([date(2024, 3, 1)]), [date(2024, 3, 1)]),
        ("close_date", pa.array([NOON]), [date(2024, 3, 1)]),
        ("close_date", pa.array([datetime(1969, 12, 31, 23)]), [date(1969, 12, 31)]),
        ("close_date", pa.array([date(2024, 3, 1)], pa.date64()), [date(2024, 3, 1)]),
        ("close_date", pa.array(["13/02/2024", "01/02/2024"]),
         [date(2024, 2, 13), date(2024, 2, 1)]),
        ("created_at", pa.array([date(2024, 3, 1)]), [datetime(2024, 3, 1, tzinfo=UTC)]),
        ("created_at", pa.array([NOON], pa.timestamp("ns")), [NOON.replace(tzinfo=UTC)]),
        ("created_at", pa.array([NOON], pa.timestamp("s", "UTC")), [NOON.replace(tzinfo=UTC)]),
        ("stage", pa.array(["a", "", "NULL"]), ["a", None, "NULL"]),
        ("stage", pa.array(["a", None]).dictionary_encode(), ["a", None]),
        ("stage", pa.array(["a", ""], pa.large_string()), ["a", None]),
        ("account_id", pa.array([17850.0, None]), ["17850", None]),
        ("account_id", pa.array([7, 8]), ["7", "8"]),
        ("stage", pa.nulls(2), [None, None]),
    ],
)  # fmt: skip
def test_every_type_becomes_that_of_the_column(
    project: Project, column: str, array: pa.Array, expected: list[Any]
) -> None:
    assert one(project, column, array) == expected


def test_times_without_zone_are_of_the_sources_zone(project: Project) -> None:
    found = one(project, "created_at", pa.array([NOON]), zone="America/New_York")
    assert found[0].astimezone(UTC) == datetime(2024, 3, 1, 17, tzinfo=UTC)


def test_an_instant_falls_into_a_day_of_the_reporting_zone(project: Project) -> None:
    array = pa.array([datetime(2024, 3, 1, 2, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    assert one(project, "close_date", array, zone="America/New_York") == [date(2024, 2, 29)]


@pytest.mark.parametrize(
    ("column", "array", "complaint"),
    [
        ("amount", pa.array([1.0, 1e15]), "record 2, column 'amount'"),
        ("amount", pa.array([True]), "expected an amount, found bool"),
        ("amount", pa.array([1.0, float("inf")]), "found 'inf'"),
        (
            "is_won",
            pa.array([1, 2]),
            "record 2, column 'is_won': expected true or false, found '2'",
        ),
        ("close_date", pa.array([45000]), "expected a date, found int64"),
        ("created_at", pa.array(["soon"]), "record 1, column 'created_at'"),
        ("stage", pa.array([["a"]]), "expected a text, found list"),
        ("close_date", pa.array(["01/02/2024"]), "can be 2024-02-01 (day first)"),
    ],
)
def test_what_does_not_fit_is_named(
    project: Project, column: str, array: pa.Array, complaint: str
) -> None:
    write(project, {column: array})
    message = project.error("opportunities")
    assert message.startswith("opportunities.parquet: ")
    assert complaint in message


def test_a_whole_number_stored_as_float_must_be_whole(project: Project) -> None:
    write(project, {"tier_rank": pa.array([1.0, None, 2.5])}, "products")
    assert "record 3, column 'tier_rank'" in project.error("products")
    write(project, {"tier_rank": pa.array([1.0, None, 2.0])}, "products")
    assert project.read("products").column("tier_rank") == [1, None, 2]


def test_expressions_see_the_types_of_the_file(project: Project) -> None:
    write(project, {"value": pa.array([2.5, None]), "info": pa.array([{"stage": "won"}, None])})
    columns = {"amount": "value * 2", "stage": "info.stage"}
    options = {"datasets": {"opportunities": {"file": "*.parquet", "columns": columns}}}
    loaded = project.read("opportunities", columns=columns, **options)
    assert loaded.column("amount") == [Decimal("5.0000"), None]
    assert loaded.column("stage") == ["won", None]


def test_rows_are_numbered_over_row_groups(project: Project) -> None:
    table = pa.table({"amount": list(range(120_000))})
    pq.write_table(table, project.directory / "expenses.parquet", row_group_size=7_000)
    loaded = project.read("expenses", columns=["amount"])
    assert loaded.column("id") == [f"expenses:{number}" for number in range(1, 120_001)]
    assert loaded.column("amount")[-1] == 119_999


def test_a_file_cut_short_is_an_error(project: Project) -> None:
    write(project, {"stage": pa.array(["a"] * 1000)})
    path = project.directory / "opportunities.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    assert "cannot be read as Parquet" in project.error("opportunities")
