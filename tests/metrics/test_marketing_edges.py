"""The pack `marketing` at its edges: bounds, statuses, dirt, several sources."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

LATE = datetime(2030, 1, 1, tzinfo=UTC)


def _project(
    directory: Path,
    tables: dict[str, pa.Table],
    *,
    settings: dict[str, Any] | None = None,
    covers_from: date | None = None,
    source: str | None = "test",
) -> Project:
    write_project(directory, {}, packs=("marketing", "revenue"), settings=settings)
    load_tables(directory, tables, covers_from=covers_from, source=source)
    return Project(directory, environ={}, now=lambda: LATE)


def _ask(project: Project, kpi: str, **asked: Any) -> dict[str, Any]:
    asked.setdefault("period", "2026-01")
    (row,) = project.query([kpi], **asked).to_pylist()
    return {**row, "coverage": dict(row["coverage"])}


def _by(project: Project, kpi: str, *by: str, **asked: Any) -> dict[tuple[str, ...], Any]:
    table = project.query([kpi], period="2026-01", by=list(by), **asked)
    rows = [row for row in table.to_pylist() if row["segment"]]
    return {tuple(dict(row["segment"])[name] for name in by): row["value"] for row in rows}


SENDS = """
@campaign_members
id,campaign_id,contact_id,lead_id,sent_at,delivered_at,responded_at,unsubscribed_at
1,C1,1,,2026-01-05T00:00:00Z,2026-01-05T00:01:00Z,2026-02-03T23:59:59Z,
2,C1,2,,2026-01-05T00:00:00Z,2026-01-05T00:01:00Z,2026-02-04T00:00:00Z,
3,C1,,2,2026-01-05T00:00:00Z,2026-01-05T00:01:00Z,2026-01-04T00:00:00Z,
4,C1,1,,2026-01-20T00:00:00Z,2026-01-20T00:01:00Z,2026-01-21T00:00:00Z,
5,C1,,,2026-01-20T00:00:00Z,2026-01-20T00:01:00Z,2026-01-21T00:00:00Z,
6,C1,7,,2026-01-20T00:00:00Z,,2026-01-21T00:00:00Z,
"""


def test_a_response_counts_up_to_the_end_of_the_window_of_the_first_send(tmp_path: Path) -> None:
    row = _ask(_project(tmp_path, read_tables(SENDS)), "campaign_response_rate")
    # Of contact 1, contact 2 and lead 2 only contact 1 answers in time: by the second send.
    assert (row["numerator"], row["denominator"]) == (1, 3)
    assert row["coverage"]["invalid_duration"] == 1
    assert row["coverage"]["missing_person"] == 1


def test_a_value_matures_with_the_window_and_sees_no_later_response(tmp_path: Path) -> None:
    project = _project(tmp_path, read_tables(SENDS))
    early = _ask(project, "campaign_response_rate", as_of="2026-02-02")
    assert (early["status"], early["numerator"]) == ("maturing", 1)
    before = _ask(project, "campaign_response_rate", as_of="2026-01-10")
    assert (before["status"], before["numerator"], before["denominator"]) == ("partial", 0, 3)
    assert _ask(project, "campaign_response_rate", as_of="2026-03-02")["status"] == "maturing"
    assert _ask(project, "campaign_response_rate", as_of="2026-03-03")["status"] == "ok"


def test_the_window_is_a_setting_of_the_kpi(tmp_path: Path) -> None:
    settings = {"campaign_response_rate": {"window_days": 16}}
    project = _project(tmp_path, read_tables(SENDS), settings=settings)
    row = _ask(project, "campaign_response_rate")
    assert row["numerator"] == 0  # the answer to the second send came 16 days after the first


def test_people_are_contacts_before_leads_and_nobody_is_no_person(tmp_path: Path) -> None:
    project = _project(tmp_path, read_tables(SENDS))
    assert _ask(project, "campaign_volume")["value"] == 6
    people = _ask(project, "campaign_volume.people")
    assert (people["value"], people["coverage"]["missing_person"]) == (4, 1)
    assert _ask(project, "campaign_volume.sends_per_person")["value"] == 5 / 4


def test_an_opt_out_of_all_mail_counts_once_on_the_last_send_before_it(tmp_path: Path) -> None:
    tables = read_tables(
        """
        @campaign_members
        id,campaign_id,contact_id,sent_at,delivered_at,unsubscribed_at
        1,C1,1,2026-01-01T00:00:00Z,2026-01-01T00:01:00Z,2026-01-12T00:00:00Z
        2,C2,1,2026-01-10T00:00:00Z,2026-01-10T00:01:00Z,2026-01-12T00:00:00Z
        3,C3,1,2026-01-20T00:00:00Z,2026-01-20T00:01:00Z,2026-01-12T00:00:00Z
        4,C1,2,2026-01-01T00:00:00Z,2026-01-01T00:01:00Z,2026-01-02T00:00:00Z
        5,C2,2,2026-01-10T00:00:00Z,2026-01-10T00:01:00Z,2026-01-11T00:00:00Z
        6,C2,3,2026-01-10T00:00:00Z,2026-01-10T00:01:00Z,2026-01-09T00:00:00Z
        """.replace("        ", "")
    )
    project = _project(tmp_path, tables)
    whole = _ask(project, "unsubscribe_rate")
    # Contact 2 left twice and counts once; contact 3 left before the send.
    assert (whole["numerator"], whole["denominator"]) == (2, 6)
    assert whole["coverage"]["invalid_duration"] == 1
    assert _by(project, "unsubscribe_rate", "campaign_id") == {
        ("C1",): 1 / 2,
        ("C2",): 2 / 3,
        ("C3",): 0,
    }


def test_contacts_of_the_crm_are_one_person_for_every_tool_that_mails_them(tmp_path: Path) -> None:
    contacts = read_tables("@contacts\nid,source,created_at\n1,crm,2025-01-01T00:00:00Z\n")
    sends = read_tables(
        "@campaign_members\nid,source,campaign_id,contact_id,sent_at\n"
        "1,mailer,C1,1,2026-01-05T00:00:00Z\n2,fair,C2,1,2026-01-06T00:00:00Z\n"
    )
    project = _project(tmp_path, {**contacts, **sends}, source=None)
    assert _ask(project, "campaign_volume.people")["value"] == 1
    assert _ask(project, "campaign_volume.active_campaigns")["value"] == 2


SPEND = """
@campaigns
id,channel,start_date,end_date,budgeted_cost,currency
C1,email,2026-01-22,2026-02-10,1000,
C2,paid,,,500,
C3,paid,2026-02-10,2026-01-01,500,
@marketing_spend
id,spend_date,campaign_id,channel,amount,currency,is_deleted,updated_at
1,2026-01-05,,social,300,,false,2026-01-05T00:00:00Z
2,2026-01-06,,social,100,EUR,false,2026-01-06T00:00:00Z
3,,C1,,800,,false,2026-01-06T00:00:00Z
4,,C2,,70,,false,2026-01-06T00:00:00Z
5,,C3,,7,,false,2026-01-06T00:00:00Z
6,2026-01-06,,social,5000,,true,2026-01-06T00:00:00Z
"""


def test_spend_without_rate_or_day_is_left_out_and_said(tmp_path: Path) -> None:
    project = _project(tmp_path, read_tables(SPEND))
    row = _ask(project, "total_marketing_spend")
    assert row["value"] == 700
    assert row["coverage"]["missing_rate"] == 1
    assert row["coverage"]["undated_spend"] == 77
    assert _by(project, "total_marketing_spend", "channel") == {("email",): 400, ("social",): 300}
    assert _ask(project, "total_marketing_spend.budget_share")["value"] == pytest.approx(700 / 500)


def test_a_month_before_the_first_cost_has_no_number(tmp_path: Path) -> None:
    project = _project(tmp_path, read_tables(SPEND))
    row = _ask(project, "total_marketing_spend", period="2025-12")
    assert (row["value"], row["status"]) == (None, "missing_dataset")


def test_covered_and_empty_is_nothing_spent_and_no_rate(tmp_path: Path) -> None:
    names = ("marketing_spend", "opportunities", "campaign_members", "web_sessions", "orders")
    project = _project(tmp_path, read_tables("", also=names), covers_from=date(2020, 1, 1))
    assert _ask(project, "total_marketing_spend")["value"] == 0
    for kpi in ("marketing_roi", "campaign_response_rate", "abandonment_rate"):
        row = _ask(project, kpi)
        assert (row["value"], row["status"]) == (None, "no_data"), kpi
    assert _ask(project, "campaign_volume")["value"] == 0


def test_what_is_not_loaded_or_delivered_is_named(tmp_path: Path) -> None:
    tables = read_tables(SENDS)
    tables["campaign_members"] = tables["campaign_members"].drop_columns(["delivered_at"])
    project = _project(tmp_path, tables)
    row = _ask(project, "campaign_response_rate")
    assert row["status"] == "missing_column"
    assert "missing_column:campaign_members.delivered_at" in row["flags"]
    assert _ask(project, "total_marketing_spend")["status"] == "missing_dataset"
    assert _ask(project, "campaign_volume")["value"] == 6


DEALS = """
@contacts
id,account_id,created_at
1,A,2025-01-01T00:00:00Z
@leads
id,account_id,created_at
9,A,2025-01-01T00:00:00Z
@campaign_members
id,campaign_id,contact_id,lead_id,sent_at
1,C1,1,,2026-01-10T00:00:00Z
2,C2,,9,2026-01-12T00:00:00Z
3,C1,1,,2026-01-12T00:00:00Z
@opportunities
id,account_id,campaign_id,created_at,close_date,is_closed,is_won,amount,currency
1,A,C1,2026-01-01T00:00:00Z,2026-01-10,true,true,100,
2,A,,2026-01-01T00:00:00Z,2026-01-12,true,true,200,
3,A,C2,2026-01-01T00:00:00Z,2026-01-13,true,true,400,
4,B,C2,2026-01-01T00:00:00Z,2026-01-13,true,true,800,EUR
@marketing_spend
spend_date,campaign_id,amount
2026-01-05,C1,100
2025-12-25,C1,50
"""


def test_credit_goes_to_sends_on_an_earlier_day_only(tmp_path: Path) -> None:
    project = _project(tmp_path, read_tables(DEALS))
    first = _ask(project, "marketing_roi.first_touch")
    assert (first["numerator"], first["denominator"]) == (600, 100)
    assert first["coverage"]["unattributed_revenue"] == 100
    linear = _by(project, "marketing_roi.linear", "campaign_id")
    assert linear == {("C1",): 4.0, ("C2",): None}  # 200 + 400 / 2 out of 100; C2 cost nothing
    default = _ask(project, "marketing_roi")
    assert default["value"] == 5
    assert default["coverage"]["unattributed_revenue"] == 200
    assert default["coverage"]["missing_rate"] == 1


def test_spend_lags_by_the_setting_else_by_the_median_cycle(tmp_path: Path) -> None:
    # The four cycles take 9, 11, 12 and 12 days: 11.5, whole days 11 -> 21 December to 20 January.
    project = _project(tmp_path / "median", read_tables(DEALS))
    assert _ask(project, "marketing_roi.lagged")["denominator"] == 150
    fixed = _project(tmp_path / "fixed", read_tables(DEALS), settings={"lag_days": 31})
    assert _ask(fixed, "marketing_roi.lagged")["denominator"] == 50


def test_a_refunded_first_order_leaves_the_count_but_not_the_history(tmp_path: Path) -> None:
    tables = read_tables(
        "@orders\nid,account_id,campaign_id,ordered_at,status,total_amount,refunded_amount,"
        "refunded_at\n"
        "1,A,C1,2026-01-05T00:00:00Z,paid,10,10,2026-01-06T00:00:00Z\n"
        "2,A,C1,2026-01-07T00:00:00Z,paid,10,4,2026-01-08T00:00:00Z\n"
        "3,B,C1,2026-01-07T00:00:00Z,paid,10,,\n"
        "4,B,C1,2026-01-07T00:00:00Z,paid,10,,\n"
        "5,C,,2026-01-07T00:00:00Z,paid,10,,\n"
    )
    project = _project(tmp_path, tables)
    assert _by(project, "campaign_orders", "customer_type") == {("existing",): 2, ("new",): 1}
    amounts = _by(project, "campaign_orders.amount", "customer_type")
    assert amounts == {("existing",): 20, ("new",): 10}
    # One of two new customers came by a campaign, both existing ones did.
    shares = _by(project, "campaign_orders.share", "customer_type")
    assert shares == {("existing",): 1.0, ("new",): 0.5}
    by_campaign = _by(project, "campaign_orders.share", "customer_type", "campaign_id")
    assert by_campaign == {("existing", "C1"): 1.0, ("new", "C1"): 0.5}


def test_a_goal_is_resumed_by_the_same_visitor_within_24_hours(tmp_path: Path) -> None:
    tables = read_tables(
        "@web_sessions\nid,visitor_id,started_at,goal,goal_started_at,goal_completed_at\n"
        "1,v1,2026-01-05T10:00:00Z,form,2026-01-05T10:00:00Z,\n"
        "2,v1,2026-01-06T09:00:00Z,form,2026-01-06T09:00:00Z,2026-01-06T09:59:59Z\n"
        "3,v2,2026-01-05T10:00:00Z,form,2026-01-05T10:00:00Z,\n"
        "4,v2,2026-01-06T09:00:00Z,form,2026-01-06T09:00:00Z,2026-01-06T10:00:00Z\n"
        "5,v3,2026-01-05T10:00:00Z,form,2026-01-05T10:00:00Z,\n"
        "6,v3,2026-01-05T11:00:00Z,checkout,2026-01-05T11:00:00Z,2026-01-05T11:01:00Z\n"
        "7,,2026-01-05T10:00:00Z,form,2026-01-05T10:00:00Z,\n"
        "8,,2026-01-05T11:00:00Z,form,2026-01-05T11:00:00Z,2026-01-05T11:01:00Z\n"
    )
    row = _ask(_project(tmp_path, tables), "abandonment_rate")
    assert (row["numerator"], row["denominator"]) == (3, 8)  # visits 3, 5 and 7


ISSUES = "@contacts\nid,created_at,email_opted_out\n" + "".join(
    f"{number},2025-01-01T00:00:00Z,{flag}\n"
    for number, flag in ((1, "false"), (2, ""), (3, "false"), (4, "false"))
)


def _issues(contact: int, days: int, **last: str) -> str:
    lines = ""
    for day in range(1, days + 1):
        at = f"2026-01-{day:02d}T00:00:00Z"
        bounced = last.get("bounced_at", "") if day == days else ""
        clicked = last.get("clicked_at", "") if day == days else ""
        lines += f"C{day},{contact},{at},{'' if bounced else at},{bounced},{clicked}\n"
    return lines


def test_only_contacts_with_enough_delivered_sends_and_no_bounce_are_judged(tmp_path: Path) -> None:
    text = (
        ISSUES
        + "@campaign_members\ncampaign_id,contact_id,sent_at,delivered_at,bounced_at,clicked_at\n"
        + _issues(1, 4)
        + _issues(2, 5)
        + _issues(3, 6, bounced_at="2026-01-06T00:05:00Z")
        + _issues(4, 5, clicked_at="2026-02-01T00:00:00Z")
    )
    project = _project(tmp_path, read_tables(text))
    # Contact 1 has four, 3 bounced on the last one; the click of 4 comes after January.
    assert _ask(project, "disengaged_contacts")["value"] == 2
    assert _ask(project, "disengaged_contacts", period="2026-02")["value"] == 1
    share = _ask(project, "disengaged_contacts.share", period="2026-02")
    assert (share["numerator"], share["denominator"]) == (1, 2)
    silent = _ask(project, "disengaged_contacts.silent_days")
    assert (silent["value"], silent["status"]) == (None, "no_data")
    assert _ask(project, "disengaged_contacts", as_of="2026-01-05")["value"] == 0
    fewer = _project(tmp_path / "4", read_tables(text), settings={"last_sends": 4})
    assert _ask(fewer, "disengaged_contacts")["value"] == 3


def test_deleted_test_and_doubled_rows_change_no_number(tmp_path: Path) -> None:
    clean = read_tables(SENDS)
    dirty = read_tables(
        "@campaign_members\nid,campaign_id,contact_id,sent_at,delivered_at,responded_at,"
        "is_deleted,is_test,updated_at\n"
        "90,C1,1,2026-01-06T00:00:00Z,2026-01-06T00:00:00Z,,true,false,2026-01-07T00:00:00Z\n"
        "91,C1,8,2026-01-06T00:00:00Z,2026-01-06T00:00:00Z,,false,true,2026-01-07T00:00:00Z\n"
        "1,C9,5,2026-01-06T00:00:00Z,2026-01-06T00:00:00Z,,false,false,1999-01-07T00:00:00Z\n"
    )
    name = "campaign_members"
    old = clean[name].drop_columns(["updated_at"]).append_column(
        dirty[name].schema.field("updated_at"),
        pa.array([LATE] * 6, dirty[name].schema.field("updated_at").type),
    )  # fmt: skip
    both = pa.concat_tables([old.select(dirty[name].column_names), dirty[name]])
    first = _project(tmp_path / "clean", {name: clean[name]})
    second = _project(tmp_path / "dirty", {name: both})
    for kpi in ("campaign_volume", "campaign_volume.people", "campaign_response_rate",
                "unsubscribe_rate", "unsubscribe_rate.blocked_rate"):  # fmt: skip
        assert _ask(second, kpi)["value"] == _ask(first, kpi)["value"], kpi
    counted = _ask(second, "campaign_volume")["coverage"]
    assert (counted["excluded_deleted"], counted["excluded_test"]) == (1, 1)


def test_spend_without_revenue_has_its_row_whatever_else_is_asked(tmp_path: Path) -> None:
    tables = """
@accounts
id,segment
A,big
@campaigns
id,channel
C1,email
C2,event
@marketing_spend
spend_date,campaign_id,amount
2026-01-02,C1,100
2026-01-03,C2,50
@opportunities
id,account_id,campaign_id,close_date,is_closed,is_won,amount
1,A,C1,2026-01-10,true,true,300
"""
    project = _project(tmp_path, read_tables(tables))
    periods = tuple(project.calendar.periods(date(2026, 1, 1), date(2026, 2, 1), "month"))
    # Spend has no segment, so that one question reads it by fewer dimensions than the revenue.
    for others in ([], [("segment",)]):
        with project.answerer(periods) as answerer:
            question = Question(("marketing_roi",), periods, (("campaign_id",), *others))
            rows = answerer.answer(question).to_pylist()
        found = {row["segment"][0]: row["value"] for row in rows}
        assert found.pop(("segment", "big"), 2) == 2
        assert found == {("campaign_id", "C1"): 3, ("campaign_id", "C2"): 0}
