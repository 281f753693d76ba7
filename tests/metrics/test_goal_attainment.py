"""`goal_attainment`: a row per goal of the project file and per owner's target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmetrics.deliver import detail_of
from crmetrics.engine import Project
from crmetrics.testing import read_tables
from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.facts import Span
from crmetrics.testing.data.truth_deals import win_rate
from crmetrics.testing.projects import load_tables, write_project
from metrics.roi_recount import Recount

KPI = "goal_attainment"
MARCH = "2026-03-01"
Ask = Callable[..., list[dict[str, Any]]]

WON, DECIDED = 9, 25
DEALS = "@opportunities\nid,account_id,owner_id,created_at,close_date,is_closed,is_won,amount\n" + (
    "".join(
        f"{number},{'A' if number % 2 else 'B'},u{1 + number % 3},"
        f"2026-01-01T00:00:00Z,2026-01-31,true,{str(number < WON).lower()},100\n"
        for number in range(DECIDED)
    )
)
"""9 of 25 deals won: 0.36; each took 30 days."""

ACCOUNTS = "@accounts\nid,segment\nA,smb\nB,enterprise\n"


def _goal(title: str, kpi: str, baseline: float, target: float, **more: Any) -> dict[str, Any]:
    return {
        "title": title,
        "kpi": kpi,
        "objective": "profitable growth",
        "baseline": baseline,
        "target": target,
        "start": "2026-01-01",
        "due": "2026-07-01",
        "owner": "@sales",
        "rationale": "a new qualification step",
        "guardrails": {"average_deal_size": {"min": 50}},
        **more,
    }


CLOSE_MORE = _goal("Close more", "win_rate", 0.30, 0.40)
BE_QUICK = _goal("Be quick", "sales_cycle_length", 36, 18)


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Loads the tables of a text and asks for the attainment of goals; gives the rows."""

    def asked(
        text: str, goals: Sequence[Any] = (), *, as_of: str = MARCH, period: str = "2026-01",
        **more: Any,
    ) -> list[dict[str, Any]]:  # fmt: skip
        write_project(tmp_path, {}, packs=("roi", "sales"), sections={"goals": list(goals)})
        load_tables(tmp_path, read_tables(text))
        project = Project(tmp_path, environ={}, now=lambda: datetime(2030, 1, 1, tzinfo=UTC))
        rows: list[dict[str, Any]] = project.query(
            [KPI], period=period, as_of=as_of, **more
        ).to_pylist()
        for row in rows:
            row["segment"] = dict(row["segment"])
        return rows

    return asked


def test_the_catalogues_goals_have_come_as_far_as_it_says(ask: Ask) -> None:
    rows = {row["goal"]: row for row in ask(DEALS, [CLOSE_MORE, BE_QUICK])}
    # 0.30 -> 0.40, now 0.36; 36 -> 18 days, now 30. 59 of 181 days = 0.326 are over.
    assert rows["Close more"]["value"] == pytest.approx(0.6)
    assert rows["Be quick"]["value"] == pytest.approx(1 / 3)
    for title, row in rows.items():
        assert row["segment"] == {"goal": title}
        assert (row["period_start"], row["period_end"]) == (date(2026, 1, 1), date(2026, 7, 1))
        assert (row["goal_status"], row["goal_attainment"]) == ("on_track", row["value"])
        assert row["status"] == "partial"


@pytest.mark.parametrize("period", ["2024", "2026-02", "2031-W01"])
def test_a_goal_has_its_own_days_whatever_period_is_asked_for(ask: Ask, period: str) -> None:
    (row,) = ask(DEALS, [CLOSE_MORE], period=period)
    assert (row["period_end"], row["value"]) == (date(2026, 7, 1), pytest.approx(0.6))


@pytest.mark.parametrize(
    ("as_of", "status"),
    [("2026-03-02", "on_track"), ("2026-03-03", "at_risk"), ("2026-03-18", "off_track")],
)
def test_the_status_follows_the_share_of_days_that_are_over(
    ask: Ask, as_of: str, status: str
) -> None:
    # A third of the way: 60, 61 and 76 of 181 days are over.
    (row,) = ask(DEALS, [BE_QUICK], as_of=as_of)
    assert row["goal_status"] == status


def test_a_broken_guardrail_overrides_an_achieved_goal(ask: Ask) -> None:
    goal = {**CLOSE_MORE, "target": 0.35, "guardrails": {"average_deal_size": {"min": 101}}}
    (row,) = ask(DEALS, [goal])
    assert row["value"] > 1
    assert row["goal_status"] == "breached_guardrail"


def test_a_goal_for_a_segment_reads_that_segment(ask: Ask) -> None:
    smb = {**CLOSE_MORE, "title": "Small", "segment": {"account.segment": "smb"}}
    rows = ask(ACCOUNTS + DEALS, [CLOSE_MORE, smb], by=["owner", "segment"])
    values = {row["segment"]["segment"]: row["value"] for row in rows}
    # 4 of 12 deals of account A are won.
    assert values == {"(none)": pytest.approx(0.6), "smb": pytest.approx((4 / 12 - 0.3) / 0.1)}
    assert {row["segment"]["owner"] for row in rows} == {"@sales"}


def test_two_goals_that_begin_together_keep_their_due_days(ask: Ask) -> None:
    sooner = {**CLOSE_MORE, "title": "Sooner", "due": "2026-02-01"}
    rows = ask(DEALS, [CLOSE_MORE, sooner])
    ends = {row["goal"]: (row["period_end"], row["status"]) for row in rows}
    assert ends == {
        "Close more": (date(2026, 7, 1), "partial"),
        "Sooner": (date(2026, 2, 1), "ok"),
    }


def test_a_goal_that_has_not_begun_has_no_value(ask: Ask) -> None:
    (row,) = ask(DEALS, [CLOSE_MORE], as_of="2025-12-01")
    assert (row["value"], row["status"], row["goal_status"]) == (None, "no_data", None)
    assert row["goal"] == "Close more"


def test_a_target_that_equals_the_baseline_has_no_value(ask: Ask) -> None:
    (row,) = ask(DEALS, [{**CLOSE_MORE, "target": 0.30}])
    assert (row["value"], row["goal_status"]) == (None, None)


def test_without_goals_each_asked_period_says_so(ask: Ask) -> None:
    rows = ask(DEALS, period="2026-Q1", grain="month")
    assert [(row["value"], row["status"], row["segment"]) for row in rows] == [
        (None, "no_data", {})
    ] * 3


QUOTAS = """
@quotas
id,owner_id,kpi_id,period_start,period_end,target_amount,currency
1,u1,won_amount,2026-01-01,2026-02-01,150,EUR
2,u2,sales_cycle_length,2026-01-01,2026-07-01,15,EUR
3,u9,won_amount,2026-01-01,2026-07-01,100,
4,u1,won_amount,2026-01-01,2026-07-01,0,
5,,won_amount,2026-01-01,2026-07-01,100,
6,u1,no_such_kpi,2026-01-01,2026-07-01,100,
7,u1,won_amount,2026-01-01,2026-02-01,999,
8,u1,goal_attainment,2026-01-01,2026-07-01,1,
@exchange_rates
currency,valid_from,rate
EUR,2025-01-01,2
"""


def test_owner_targets_are_actual_out_of_target_or_the_reverse(ask: Ask) -> None:
    rows = ask(DEALS + QUOTAS)
    found = {(row["goal"], row["period_end"].month): row for row in rows}
    assert len(found) == len(rows) == 6
    # u1 won deals 0, 3 and 6; its 150 EUR are 300 USD. Of equal quotas the first counts.
    january = found["won_amount u1", 2]
    assert (january["value"], january["goal_target"]) == (pytest.approx(1), 300)
    assert january["goal_status"] == "achieved"
    # Lower is better: 15 days out of 30, whatever currency the quota names.
    assert found["sales_cycle_length u2", 7]["value"] == pytest.approx(0.5)
    # Who sold nothing has reached nothing; a target of zero cannot be reached.
    assert found["won_amount u9", 7]["value"] == 0
    assert found["won_amount u9", 7]["goal_status"] == "off_track"
    assert found["won_amount u1", 7]["value"] is None
    # A KPI that is not enabled, or has days of its own, cannot be measured.
    assert found["no_such_kpi u1", 7]["value"] is None
    assert found["goal_attainment u1", 7]["value"] is None


def test_other_kpis_of_the_question_keep_their_periods(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=("roi", "sales"), sections={"goals": [CLOSE_MORE]})
    load_tables(tmp_path, read_tables(DEALS))
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))
    rows = project.query(["win_rate", KPI, "won_amount"], period="2026-01").to_pylist()
    found = {row["kpi"]: (row["period_end"], row["value"]) for row in rows}
    assert found == {
        "win_rate": (date(2026, 2, 1), pytest.approx(0.36)),
        "won_amount": (date(2026, 2, 1), 900),
        KPI: (date(2026, 7, 1), pytest.approx(0.6)),
    }


def test_explain_gives_the_same_number(tmp_path: Path) -> None:
    write_project(tmp_path, {}, packs=("roi", "sales"), sections={"goals": [CLOSE_MORE]})
    load_tables(tmp_path, read_tables(DEALS))
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))
    explained = project.explain(KPI, period="2026-01")
    assert explained.results is not None
    assert explained.results.column("value").to_pylist() == [pytest.approx(0.6)]


def test_a_plan_reads_what_goals_and_their_guardrails_measure(tmp_path: Path) -> None:
    text = ACCOUNTS + DEALS + QUOTAS
    job = {"goals": {"kpis": [KPI], "grain": "month"}}
    sections = {"goals": [CLOSE_MORE], "jobs": job}
    write_project(tmp_path, read_tables(text), packs=("roi", "sales"), sections=sections)
    project = Project(tmp_path, environ={}, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))
    plan = project.plan("goals")
    reads = {read.dataset: set(read.columns) for read in plan.plan.reads}
    assert {"is_won", "is_closed", "close_date", "amount"} <= reads["opportunities"]
    assert {"owner_id", "kpi_id", "target_amount"} <= reads["quotas"]


def test_a_goal_may_name_its_owner_and_does_not_go_to_chat_by_itself() -> None:
    assert detail_of(["goal"]) == detail_of(["goal", "segment"]) == "person"


# --- the sample CRM ------------------------------------------------------------------------------


def test_every_owner_target_of_the_sample_equals_the_recount(tmp_path: Path) -> None:
    crm = SampleCrm(seed=7)
    facts = Recount(crm, "UTC")
    write_project(tmp_path, {}, packs=("roi", "sales"))
    load_tables(tmp_path, crm.tables)
    project = Project(tmp_path, environ={}, now=lambda: crm.exported_at)
    rows = project.query([KPI], period="2025-01").to_pylist()
    found = {(row["goal"], row["period_start"], row["period_end"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    today = facts.local_day(crm.exported_at)
    expected: dict[Any, float | None] = {}
    for quota in facts.live.rows("quotas"):
        if quota["owner_id"] is None:
            continue
        start, due, target = quota["period_start"], quota["period_end"], quota["target_amount"]
        span = Span(start, min(due, today))
        own = [deal for deal in facts.deals if deal.row["owner_id"] == quota["owner_id"]]
        value: float | None = None
        if span.end > span.start and quota["kpi_id"] == "won_amount":
            won = [d.usd for d in own if d.row["is_won"] and d.row["close_date"] in span]
            value = float(sum(usd for usd in won if usd is not None))
        elif span.end > span.start:
            value = win_rate(facts, own, span)
        share = value / float(target) if value is not None and target > 0 else None
        expected[f"{quota['kpi_id']} {quota['owner_id']}", start, due] = share
    assert found.keys() == expected.keys()
    assert len(expected) > 200
    known = {key: value for key, value in expected.items() if value is not None}
    assert {key: found[key] for key in known} == pytest.approx(known, rel=1e-9)
    assert {key for key, value in found.items() if value is None} == expected.keys() - known.keys()
    assert any(end - start > timedelta(days=80) for _, start, end in known)
