"""`query:`: files whose records are no rows of the dataset."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as arrow_parquet
import pytest

from crmetrics.plugin import SourceError

if TYPE_CHECKING:
    from connectors.csv.conftest import Loaded, Project

LINES = (
    "Invoice,Customer,Sku,Quantity,Price,Day\n"
    "1,A,x,2,1.25,2026-01-05\n"
    "1,A,y,1,2.50,2026-01-05\n"
    "2,B,x,4,1.25,2026-01-06\n"
    "3,,x,1,9.00,2026-01-07\n"
)
ORDERS = (
    "select Invoice as id, min(Customer) as account_id, min(Day) as ordered_at, "
    "sum(Quantity::int * Price::decimal(18, 4)) as total_amount, 'paid' as status "
    "from records group by Invoice order by id"
)


def read(project: Project, query: str, **more: Any) -> Loaded:
    columns = more.pop("wanted", ["id", "account_id", "ordered_at", "total_amount", "status"])
    return project.read(
        "orders",
        columns=columns,
        datasets={"orders": {"file": "lines.*", "query": query, **more}},
    )


def test_the_lines_of_an_order_become_one_order(project: Project) -> None:
    project.write("lines.csv", LINES)
    loaded = read(project, ORDERS)
    found = [(row["id"], row["account_id"], float(row["total_amount"])) for row in loaded.rows]
    assert found == [("1", "A", 5.0), ("2", "B", 5.0), ("3", None, 9.0)]
    assert {f"{row['ordered_at']:%d}" for row in loaded.rows} == {"05", "06", "07"}


def test_a_count_becomes_that_many_rows(project: Project) -> None:
    project.write("lines.csv", "Client,Calls\nA,3\nB,1\n")
    query = (
        "select Client || '-' || call as id, Client as account_id from "
        "(select Client, unnest(range(Calls::int)) as call from records)"
    )
    assert read(project, query, wanted=["id", "account_id"]).column("id") == [
        "A-0",
        "A-1",
        "A-2",
        "B-0",
    ]


def test_columns_map_what_the_query_gives(project: Project) -> None:
    project.write("lines.csv", LINES)
    query = "select Invoice as number, count(*) as lines from records group by all order by 1"
    loaded = read(
        project,
        query,
        columns={"id": "number", "status": "case when lines > 1 then 'paid' else 'draft' end"},
        wanted=["id", "status"],
    )
    assert loaded.column("status") == ["paid", "draft", "draft"]


def test_rows_of_a_query_without_an_id_are_numbered(project: Project) -> None:
    project.write("lines.csv", LINES)
    query = "select distinct Customer as account_id from records order by all"
    loaded = read(project, query, wanted=["id", "account_id"])
    assert loaded.column("id") == ["lines:1", "lines:2", "lines:3"]


@pytest.mark.parametrize("form", ["csv", "csv.gz", "ndjson", "parquet"])
def test_every_format_can_be_queried(form: str, project: Project) -> None:
    records = [{"Invoice": str(n // 2), "Quantity": str(n)} for n in range(6)]
    path = project.write(f"lines.{form}", b"")
    if form == "parquet":
        arrow_parquet.write_table(pa.Table.from_pylist(records), path)
    elif form == "ndjson":
        path.write_text("".join(f'{{"Invoice": "{r["Invoice"]}", "Quantity": {r["Quantity"]}}}\n'
                                for r in records))  # fmt: skip
    else:
        text = "Invoice,Quantity\n" + "".join(f"{r['Invoice']},{r['Quantity']}\n" for r in records)
        path.write_bytes(gzip.compress(text.encode()) if form == "csv.gz" else text.encode())
    query = (
        "select Invoice as id, sum(Quantity::int) as total_amount from records group by all "
        "order by id"
    )
    loaded = read(project, query, wanted=["id", "total_amount"])
    assert [int(value) for value in loaded.column("total_amount")] == [1, 5, 9]


def test_records_that_do_not_fit_the_header_are_set_aside_before_the_query(
    project: Project,
) -> None:
    project.write("lines.csv", LINES + "4,C,x,1\n")
    loaded = read(project, ORDERS)
    assert len(loaded.rows) == 3
    assert loaded.rejected == [("lines.csv:6", "4,C,x,1")]


def test_a_file_without_records_gives_no_rows(project: Project) -> None:
    project.write("lines.csv", LINES.partition("\n")[0] + "\n")
    assert read(project, ORDERS).rows == []


def test_empty_fields_and_null_texts_are_null_in_the_query(project: Project) -> None:
    project.write("lines.csv", "Invoice,Customer\n1,\n2,-\n3,A\n")
    query = "select Invoice as id, Customer as account_id from records where Customer is not null"
    loaded = read(project, query, null_values=["-"], wanted=["id", "account_id"])
    assert loaded.column("id") == ["3"]


def test_a_changed_query_reads_the_file_again(project: Project) -> None:
    project.write("lines.csv", LINES)
    first = read(project, ORDERS)
    unchanged = project.read(
        "orders",
        columns=["id"],
        state=first.state,
        datasets={"orders": {"file": "lines.*", "query": ORDERS}},
    )
    assert unchanged.rows == []
    again = project.read(
        "orders",
        columns=["id"],
        state=first.state,
        datasets={"orders": {"file": "lines.*", "query": ORDERS + " desc"}},
    )
    assert again.column("id") == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("select Invioce as id from records", 'Referenced column "Invioce" not found'),
        ("select Invoice as id from orders", "orders does not exist"),
        ("delete from records", "expected one SELECT over records"),
        ("select 1 as id from records; select 2", "expected one SELECT over records"),
        ("select from where", "syntax error"),
        ("select * from read_csv('lines.csv')", "disabled"),
    ],
)
def test_a_query_that_cannot_be_used_is_named_with_its_file(
    query: str, complaint: str, project: Project
) -> None:
    project.write("lines.csv", LINES)
    with pytest.raises(SourceError, match=complaint) as caught:
        read(project, query)
    assert "lines.csv" in str(caught.value)
    assert "Correct `query:` under sources.files.datasets.orders" in str(caught.value)


def test_a_value_that_the_query_cannot_cast_stops_the_dataset(project: Project) -> None:
    project.write("lines.csv", LINES + "4,C,x,two,1.00,2026-01-08\n")
    with pytest.raises(SourceError, match="Could not convert string 'two' to INT32"):
        read(project, ORDERS)


def test_a_torn_file_is_named_and_not_the_query(project: Project) -> None:
    project.write("lines.csv.gz", gzip.compress(LINES.encode() * 2000)[:-20])
    with pytest.raises(SourceError, match=r"lines\.csv\.gz: is no whole gzip file"):
        read(project, ORDERS)


def test_fields_of_one_name_cannot_be_queried(project: Project) -> None:
    project.write("lines.csv", "Invoice,Day,Day\n1,2,3\n")
    with pytest.raises(SourceError, match="several fields named 'Day'"):
        read(project, "select Invoice as id from records")


def test_check_sees_what_the_query_gives(project: Project) -> None:
    project.write("lines.csv", LINES)
    connector = project.connector(datasets={"orders": {"file": "lines.csv", "query": ORDERS}})
    (supply,) = connector.datasets()
    assert set(supply.columns) == {"id", "account_id", "ordered_at", "total_amount", "status"}
    assert [result.state for result in connector.check()] == ["ok"]
