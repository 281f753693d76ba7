"""Real files of CRM practice, with figures that were computed elsewhere."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project

pytestmark = pytest.mark.shared


def expected(folder: Path) -> dict[str, float]:
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def test_the_dates_of_the_sales_pipeline_prove_their_order(
    project: Project, shared_data: Path
) -> None:
    folder = shared_data / "maven_crm_sales"
    columns = {
        "id": "opportunity_id",
        "account_id": "account",
        "owner_id": "sales_agent",
        "stage": "deal_stage",
        "created_at": "engage_date",
        "amount": "close_value",
        "is_won": "deal_stage = 'Won'",
    }
    loaded = project.read(
        "opportunities",
        columns=[*columns, "close_date"],
        path=str(folder),
        datasets={"opportunities": {"file": "sales_pipeline*.csv", "columns": columns}},
    )
    figures = expected(folder)
    won = [row for row in loaded.rows if row["is_won"]]
    assert len(loaded.rows) == figures["opportunities, all"]
    assert len(won) == figures["opportunities, Won"]
    assert sum(row["amount"] for row in won) == figures["won revenue, sum of close_value"]
    days = [(row["close_date"] - row["created_at"].date()).days for row in won]
    assert sum(days) / len(days) == figures["sales cycle, won, mean days (close - engage)"]
    assert loaded.column("close_date").count(None) == figures["open pipeline, count"]
    assert loaded.column("account_id").count(None) == figures["opportunities without account"]
    assert loaded.rows[0]["close_date"] == date(2017, 3, 1)


def test_a_folder_of_strange_files_says_what_it_lacks(project: Project, shared_data: Path) -> None:
    results = project.check(path=str(shared_data / "maven_crm_sales"))
    assert set(results) == {"accounts", "products", "other files"}
    assert "without an id" in results["accounts"].message
    assert "data_dictionary.csv" in results["other files"].message


def test_subscriptions_and_tickets_are_read(project: Project, shared_data: Path) -> None:
    folder = shared_data / "ravenstack_saas"
    figures = expected(folder)
    tickets = {
        "id": "ticket_id",
        "created_at": "submitted_at",
        "is_escalated": "escalation_flag",
        "is_closed": "closed_at is not null",
    }
    subscriptions = {"mrr": "mrr_amount", "quantity": "seats"}
    datasets = {
        "cases": {"file": "support_tickets.csv", "columns": tickets},
        "subscriptions": {"columns": subscriptions},
    }
    options = {"path": str(folder), "datasets": datasets}
    cases = project.read("cases", columns=[*tickets, "closed_at"], **options).rows
    # 2023-07-28 3:00, an hour of one digit, stands in the first record.
    assert cases[0]["closed_at"] == datetime(2023, 7, 28, 3, tzinfo=UTC)
    assert cases[0]["created_at"] == datetime(2023, 7, 27, tzinfo=UTC)
    assert len(cases) == figures["support_tickets rows"]
    hours = [(case["closed_at"] - case["created_at"]).total_seconds() / 3600 for case in cases]
    assert sum(hours) / len(hours) == figures["resolution time, mean hours"]
    escalated = sum(case["is_escalated"] for case in cases) / len(cases)
    assert escalated == figures["escalation rate"]
    wanted = [*subscriptions, "start_date", "end_date", "is_trial", "subscription_id"]
    rows = project.read("subscriptions", columns=wanted, **options).rows
    assert sum(row["mrr"] for row in rows) == figures["sum of mrr_amount, all rows"]
    assert sum(row["is_trial"] for row in rows) == figures["trial subscriptions"]
    ended = [row for row in rows if row["end_date"] is not None]
    assert len(ended) == figures["subscriptions with end_date"]
    assert rows[0]["id"] == "subscriptions:1"


def test_half_a_million_order_lines_keep_their_ids(project: Project, shared_data: Path) -> None:
    folder = shared_data / "uci_online_retail"
    figures = expected(folder)
    columns = {
        "account_id": "CustomerID",
        "ordered_at": "InvoiceDate",
        "total_amount": "Quantity::decimal(18,4) * UnitPrice::decimal(18,4)",
        "status": "InvoiceNo",
        "opportunity_id": "StockCode",
    }
    datasets = {"orders": {"file": "online-retail.csv.gz", "columns": columns}}
    loaded = project.read("orders", columns=columns, path=str(folder), datasets=datasets)
    rows = loaded.rows
    assert len(rows) == figures["rows"]
    assert loaded.rejected == []
    assert rows[0]["id"] == "online-retail:1"
    assert rows[0]["account_id"] == "17850.0"
    assert rows[0]["opportunity_id"] == "85123A"
    customers = {row["account_id"] for row in rows} - {None}
    assert len(customers) == figures["customers, distinct CustomerID"]
    assert len({row["status"] for row in rows}) == figures["invoices, distinct InvoiceNo"]
    revenue = sum(row["total_amount"] for row in rows)
    assert revenue == Decimal(str(figures["net revenue, sum(Quantity*UnitPrice), all rows"]))


def _csv_records(path: Path) -> int:
    """The records of a file as Python's csv module counts them, header and blank lines aside."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    delimiter = ";" if "bank" in path.name else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    width = len(next(reader))
    return sum(len(record) == width for record in reader if record)


def test_every_reference_file_is_read_as_the_csv_module_reads_it(
    project: Project, shared_data: Path
) -> None:
    paths = [
        *shared_data.rglob("*.csv"),
        *(path for path in shared_data.rglob("*.csv.gz") if "retail" not in path.name),
    ]
    assert len(paths) > 50
    # Some files have an id that repeats or is null; their records are counted all the same.
    columns = {"id": "'x'"}
    for path in paths:
        datasets = {"leads": {"file": str(path), "columns": columns}}
        loaded = project.read("leads", columns=[], datasets=datasets)
        assert len(loaded.rows) == _csv_records(path), path
        assert loaded.rejected == [], path
