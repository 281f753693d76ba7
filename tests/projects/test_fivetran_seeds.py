"""Fivetran's seeds: three systems in one project, with what is odd about their loads."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import pytest

from projects.opening import Opened, Opener

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def seeds(open_project: Opener) -> Opened:
    return open_project("fivetran_seeds")


def lines(folder: Path, file: str) -> list[dict[str, str]]:
    with (folder / "fivetran_seeds" / file).open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize("period", ["2018-11", "2018-12", "2019-01"])
def test_deals_that_are_all_deleted_give_no_figure(period: str, seeds: Opened) -> None:
    kpis = ("won_amount", "won_amount.won_count", "win_rate", "average_deal_size")
    for row in seeds.ask(*kpis, "sales_cycle_length", period=period):
        assert (row["value"], row["n"]) == (None, 0)
        assert row["status"] in ("missing_dataset", "no_data")


def test_tickets_closed_before_or_at_their_creation_have_no_resolution_time(
    seeds: Opened, shared_data: Path
) -> None:
    tickets = lines(shared_data, "hubspot/ticket_data.csv")
    spans = [
        (datetime.fromisoformat(t["property_closed_date"]), t["property_createdate"])
        for t in tickets
        if t["property_closed_date"]
    ]
    before = sum(f"{closed}" < created for closed, created in spans)
    at_once = sum(f"{closed}" == created for closed, created in spans)
    rows = seeds.ask("resolution_time", start="2020-01-01", end="2022-01-01", grain="year")
    counted = [dict(row["coverage"]) for row in rows]
    assert sum(one.get("invalid_duration", 0) for one in counted) == before == 1
    assert sum(one.get("closed_on_creation", 0) for one in counted) == at_once


def test_the_wait_of_a_ticket_is_the_time_that_the_ball_was_with_us(seeds: Opened) -> None:
    # open 1 + 15 + 2 + 12 days, on hold 3 + 14 + 3 days; pending does not count.
    (row,) = seeds.ask("customer_wait_time", period="2020-11")
    assert (row["value"], row["n"]) == (50 * 86400, 1)


def test_histories_of_tickets_that_are_not_there_are_orphans(
    seeds: Opened, shared_data: Path
) -> None:
    known = {line["id"] for line in lines(shared_data, "zendesk/ticket_data.csv")}
    history = lines(shared_data, "zendesk/ticket_field_history_data.csv")
    lost = [t for t in history if t["field_name"] == "status" and t["ticket_id"] not in known]
    (orphans,) = [o for o in seeds.report.orphans if o.key == "case_id"]
    assert orphans.rows == len(lost)


def test_deleted_tickets_are_counted_beside_the_volume(seeds: Opened) -> None:
    (row,) = seeds.ask("case_volume", period="2020", where="source = 'zendesk'")
    assert (row["value"], dict(row["coverage"])["excluded_deleted"]) == (8, 2)


def test_no_open_rate_passes_one_however_often_a_mail_is_opened(
    seeds: Opened, shared_data: Path
) -> None:
    events = lines(shared_data, "hubspot/email_event_data.csv")
    people = {(e["email_campaign_id"], e["recipient"]) for e in events}
    (loaded,) = [r for r in seeds.report.reports if r.dataset == "campaign_members"]
    assert loaded.landed == len(people)
    opened = {e["recipient"] for e in events if e["type"] == "OPEN"}
    sent = {e["recipient"] for e in events if e["type"] == "SENT"}
    (row,) = seeds.ask("campaign_response_rate.open_rate", period="2020")
    assert (row["numerator"], row["denominator"]) == (len(sent & opened), len(sent))
