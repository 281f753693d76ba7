"""Unusual values and trends of a job's reports, month by month, against figures set in advance."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from crmetrics.engine import Project
from crmetrics.engine.running import RunReport

CONFIG = """
version: 1
project: acme
sources:
  crm: {{connector: csv, path: data}}
metrics: {{packs: [sales]{settings}}}
jobs:
  report: {{kpis: [won_amount], by: [[opportunity_type], [owner_id]], grain: {grain}}}
"""

USUAL = [100.0, 110.0, 90.0, 100.0, 120.0, 80.0, 100.0, 110.0, 90.0, 100.0, 105.0, 95.0]
"""Won in 2024 by month: the median is 100, the distances' median 7.5, a deviation 11.1195."""


def month(number: int) -> date:
    """The first day of a month; 0 is January 2024."""
    return date(2024 + number // 12, number % 12 + 1, 1)


class Company:
    """A project whose deals are one per period and type."""

    def __init__(self, folder: Path, *, grain: str = "month", settings: str = "") -> None:
        self.folder = folder
        (folder / "data").mkdir()
        (folder / "crmetrics.yaml").write_text(CONFIG.format(grain=grain, settings=settings))

    def sells(self, amounts: dict[date, float]) -> None:
        """Each amount is won in one deal of type new, by the one owner."""
        lines = ["id,created_at,close_date,is_closed,is_won,amount,opportunity_type,owner_id"]
        for day, amount in amounts.items():
            lines.append(f"{day},{day}T00:00:00Z,{day},true,true,{amount},new,ann")
        (self.folder / "data" / "opportunities.csv").write_text("\n".join(lines) + "\n")

    def report(self, period_end: date) -> RunReport:
        now = datetime(period_end.year, period_end.month, period_end.day, 8, tzinfo=UTC)
        return Project(self.folder, environ={}, now=lambda: now).run("report")


def alerts(results: pa.Table) -> dict[str, list[str]]:
    """Segment in words -> its alerts."""
    return {
        "/".join(str(value) for _, value in row["segment"]) or "total": [
            flag for flag in row["flags"] if flag.startswith("alert")
        ]
        for row in results.select(["segment", "flags"]).to_pylist()
    }


def recorded(folder: Path, start: date) -> list[tuple[str, int]]:
    """Flags and version of the total that the ledger holds for a month."""
    sql = (
        "select flags, version from meta.results "
        "where segment = '{}' and period_start = ? and valid_to is null"
    )
    file = folder / ".crmetrics" / "warehouse.duckdb"
    with duckdb.connect(str(file), read_only=True) as database:
        return database.execute(sql, [start]).fetchall()


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def amounts(*later: float) -> dict[date, float]:
    return {month(number): amount for number, amount in enumerate([*USUAL, *later])}


def test_a_month_unlike_those_before_is_flagged_in_total_and_groups_but_not_for_persons(
    company: Company,
) -> None:
    company.sells(amounts(140.0))
    report = company.report(month(13))
    assert alerts(report.results) == {"total": ["alert_high"], "new": ["alert_high"], "ann": []}
    [line] = report.message.kpis
    assert line.alert_text == "unusually high: 100.00 USD is typical of the 12 months before"
    assert line.is_new_alert
    assert report.message.headline.endswith("Unusual: Won amount.")
    [group] = line.breakdowns[0].segments
    assert group.change_text == line.alert_text
    assert [segment.change_text for segment in line.breakdowns[1].segments] == [""]


def test_a_usual_month_is_not(company: Company) -> None:
    company.sells(amounts(133.0))  # within 3 x 11.1195
    report = company.report(month(13))
    assert alerts(report.results) == {"total": [], "new": [], "ann": []}
    assert report.message.kpis[0].alert_text == ""
    assert "Unusual" not in report.message.headline


def test_a_sign_is_news_once_and_goes_on_until_the_value_is_well_back(company: Company) -> None:
    # The twelve before February: 110 90 100 120 80 100 110 90 100 105 95 140; the median is 100,
    # the distances 10 10 0 20 20 0 10 10 0 5 5 40, their median 10, a deviation 14.826: 130 is
    # beyond two of them, not three. March: 90 100 120 80 100 110 90 100 105 95 140 130, again 100
    # and 10: 129 is back within two.
    company.sells(amounts(140.0, 130.0, 129.0))
    said = []
    for number in (13, 14, 15):
        [line] = company.report(month(number)).message.kpis
        said.append((line.alert_text.partition(":")[0], line.is_new_alert))
    assert said == [("unusually high", True), ("still unusually high", False), ("", False)]


def test_a_sign_that_began_before_the_series_walked_is_known_from_the_ledger(
    tmp_path: Path,
) -> None:
    company = Company(tmp_path, settings=", settings: {restate_periods: 0}")
    company.sells(amounts(140.0, 130.0))
    assert alerts(company.report(month(13)).results)["total"] == ["alert_high"]
    [line] = company.report(month(14)).message.kpis
    assert (line.alert_text.partition(":")[0], line.is_new_alert) == ("still unusually high", False)


def test_an_earlier_month_keeps_its_flag_and_its_version(company: Company) -> None:
    company.sells(amounts(140.0, 100.0))
    company.report(month(13))
    company.report(month(14))
    assert recorded(company.folder, month(12)) == [('["alert_high"]', 1)]


def test_a_trend_is_told_for_the_last_thirteen_months(company: Company) -> None:
    company.sells({month(number): 100.0 + 2 * number for number in range(14)})
    [line] = company.report(month(14)).message.kpis
    assert line.trend_text == "rising over 13 months, by 2.00 USD a month, the last 12 in a row"
    assert line.alert_text == ""


def test_limits_that_a_team_sets_are_signs_of_their_own(tmp_path: Path) -> None:
    company = Company(tmp_path, settings=", settings: {won_amount: {alert_below: 85}}")
    company.sells(amounts(84.0))
    [line] = company.report(month(13)).message.kpis
    assert line.alert_text == "below the limit of 85.00 USD"


def test_signs_can_be_switched_off_for_a_kpi(tmp_path: Path) -> None:
    company = Company(tmp_path, settings=", settings: {won_amount: {alerts: false}}")
    company.sells(amounts(1000.0))
    assert alerts(company.report(month(13)).results)["total"] == []


def test_values_that_rest_on_too_few_rows_raise_no_sign(company: Company) -> None:
    company.sells(amounts(140.0))
    file = company.folder / "data" / "opportunities.csv"
    with file.open("a") as out:
        for number in range(2):
            out.write(f"lost{number},{month(12)}T00:00:00Z,{month(12)},true,true,,new,ann\n")
    report = company.report(month(13))
    assert report.message.kpis[0].coverage_text.startswith("low coverage")
    assert alerts(report.results)["total"] == []


def test_days_are_compared_with_the_same_weekday(tmp_path: Path) -> None:
    company = Company(tmp_path, grain="day")
    first = date(2025, 1, 6)  # a Monday
    days = {first + timedelta(days=number): 100.0 + number % 3 for number in range(7 * 12)}
    for day in days:
        if day.weekday() == 6:
            days[day] = 10.0 + day.day % 3
    sunday = max(days)
    assert sunday.weekday() == 6
    days[sunday] = 100.0
    company.sells(days)
    [line] = company.report(sunday + timedelta(days=1)).message.kpis
    assert line.alert_text == "unusually high: 11.00 USD is typical of the 11 same weekdays before"
    days[sunday] = 11.0
    company.sells(days)
    [line] = company.report(sunday + timedelta(days=1)).message.kpis
    assert line.alert_text == ""
