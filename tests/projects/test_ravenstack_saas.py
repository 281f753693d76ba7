"""RavenStack: what the published figures leave open, recounted from its files."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest

from projects.opening import Opener

pytestmark = pytest.mark.shared
YEARS = {"start": "2023-01-01", "end": "2025-01-01", "grain": "year"}


def lines(folder: Path, file: str) -> list[dict[str, str]]:
    with (folder / "ravenstack_saas" / file).open(newline="") as opened:
        return list(csv.DictReader(opened))


def ninetieth(values: list[float]) -> float:
    """Linear interpolation between the two nearest ranks."""
    values = sorted(values)
    place = 0.9 * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def test_new_customers_are_the_first_paid_contracts(
    open_project: Opener, shared_data: Path
) -> None:
    first: dict[str, str] = {}
    for line in lines(shared_data, "subscriptions.csv"):
        if line["is_trial"] == "FALSE" and float(line["mrr_amount"]) > 0:
            account = line["account_id"]
            first[account] = min(first.get(account, "9999"), line["start_date"])
    rows = open_project("ravenstack_saas").ask(
        "new_customers", start="2023-01-01", end="2025-01-01", grain="month"
    )
    found = {f"{row['period_start']:%Y-%m}": row["value"] for row in rows}
    months = [day[:7] for day in first.values()]
    assert found == {month: months.count(month) for month in found}
    assert sum(found.values()) == len(first) == 500


def test_medians_and_percentiles_of_each_year(open_project: Opener, shared_data: Path) -> None:
    hours: dict[str, list[float]] = defaultdict(list)
    for line in lines(shared_data, "support_tickets.csv"):
        hours[line["closed_at"][:4]].append(float(line["resolution_time_hours"]))
    rows = open_project("ravenstack_saas").ask("resolution_time", "resolution_time.p90", **YEARS)
    found = {(row["name"], f"{row['period_start']:%Y}"): row["value"] / 3600 for row in rows}
    for year, values in hours.items():
        assert found["resolution_time", year] == pytest.approx(median(values), rel=1e-12)
        assert found["resolution_time.p90", year] == pytest.approx(ninetieth(values), rel=1e-12)
    # Of both years together, as published.
    assert ninetieth([value for values in hours.values() for value in values]) == 65


def test_hardly_any_account_is_lost_while_contracts_are(open_project: Opener) -> None:
    project = open_project("ravenstack_saas")
    accounts, contracts = project.ask(
        "customer_churn_rate", "contract_churn_rate", period="2024-12"
    )
    assert (accounts["numerator"], accounts["value"]) == (0, 0)
    assert contracts["value"] == pytest.approx(90 / 3754, rel=1e-12)


def test_first_responses_need_no_messages_where_the_file_has_them(open_project: Opener) -> None:
    project = open_project("ravenstack_saas")
    (row,) = project.ask("first_response_time.within_target", period="2024-06")
    assert row["status"] == "ok"
    assert "case_messages" not in {loaded.dataset for loaded in project.report.reports}
