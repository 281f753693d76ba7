"""From result rows to a message, and what of it may go to chat."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from crmetrics.deliver import Facts, build_message, detail_of
from crmetrics.goals import judge
from crmetrics.message import (
    KpiLine,
    Message,
    Note,
    SegmentLine,
    by_urgency,
    compose_headline,
    for_chat,
)
from result_rows import AS_OF, CALENDAR, WEEK, breakdown, kpi, line, message, table
from test_goals import TRAITS, Goal

FACTS = Facts("weekly_sales", "acme", CALENDAR, WEEK, AS_OF, "USD")


def build(*rows: dict[str, Any], goals: tuple[Goal, ...] = (), **facts: Any) -> Message:
    judged = judge(table(*rows), goals, TRAITS, as_of=AS_OF, calendar=CALENDAR)
    return build_message(judged.results, replace(FACTS, **facts), TRAITS, verdicts=judged.verdicts)


def the_line(*rows: dict[str, Any], **options: Any) -> KpiLine:
    [found] = build(*rows, **options).kpis
    return found


def won(value: float | None = 100.0, previous: float | None = None, **columns: Any) -> Any:
    change = None if value is None or previous is None else value / previous - 1
    return kpi(
        "won_amount", value, unit="currency", previous_value=previous, change=change, **columns
    )


# --- lines -----------------------------------------------------------------------------------


def test_a_line_has_value_change_and_direction() -> None:
    found = the_line(
        kpi(value=0.4, unit="percent", previous_value=0.369, change=0.031, n=120,
            year_ago_value=0.45, year_ago_change=-0.05)
    )  # fmt: skip
    assert (found.title, found.value, found.value_text) == ("Win rate", 0.4, "40.0 %")
    assert found.change_text == "up 3.1 points on the week before, down 5.0 points on a year before"
    assert (found.tone, found.n, found.status) == ("good", 120, "ok")


def test_more_of_what_should_be_less_is_bad() -> None:
    row = kpi("first_response_time", 110.0, unit="seconds", previous_value=100.0, change=0.1)
    assert the_line(row).tone == "bad"


@pytest.mark.parametrize(
    "state", [{"flags": ["low_sample"]}, {"status": "partial"}, {"flags": ["maturing"]}]
)
def test_an_uncertain_value_is_neither_good_nor_bad(state: dict[str, Any]) -> None:
    found = the_line(won(90.0, 100.0, **state))
    assert found.tone == "neutral"
    assert found.status_text


def test_a_comparison_that_the_engine_left_out_is_not_made_up() -> None:
    row = kpi(value=0.4, unit="percent", previous_value=0.3, change=None)
    assert the_line(row).change_text == ""


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("no_data", "no data: nothing to measure in this period"),
        ("missing_dataset", "not available: a dataset it needs does not cover this period"),
        ("missing_column", "not available: a column it needs is not delivered"),
    ],
)
def test_a_missing_value_says_why(status: str, text: str) -> None:
    found = build(kpi(value=None, status=status, unit="percent"))
    assert found.kpis[0].status_text == text
    assert found.kpis[0].value is None
    assert text in found.headline


def test_an_unknown_kpi_is_called_by_its_id() -> None:
    assert the_line(kpi("own_kpi", 3.0)).title == "own_kpi"


def test_variants_are_lines_of_their_own() -> None:
    found = build(kpi(unit="percent"), kpi(variant="by_amount", value=0.5, unit="percent"))
    assert [(one.title, one.variant) for one in found.kpis] == [
        ("Win rate", ""),
        ("Win rate by amount", "by_amount"),
    ]


def test_only_the_reported_period_is_shown() -> None:
    earlier = {"period_start": date(2026, 1, 19), "period_end": date(2026, 1, 26)}
    assert the_line(won(1.0, **earlier), won(2.0)).value == 2.0


def test_a_kpi_with_a_span_of_its_own_is_shown_with_it() -> None:
    span = {"period_start": date(2026, 1, 1), "period_end": date(2026, 7, 1)}
    row = kpi("goal_attainment", 0.6, unit="percent", segment={"goal": "Close more"}, **span)
    found = the_line(row)
    assert (found.value, found.value_text) == (None, "by goal")
    assert found.breakdowns[0].segments[0].label == "Close more"


def test_history_becomes_the_series_with_this_period_last() -> None:
    history = {
        "won_amount": [
            (date(2026, 1, 12), 1.0),
            (date(2026, 1, 19), None),
            (WEEK.start, 99.0),  # what an earlier run said of this period
        ]
    }
    found = build_message(table(won(3.0)), FACTS, TRAITS, history=history).kpis[0]
    assert found.series == (1.0, None, 3.0)
    assert found.series_labels == ("2026-W03", "2026-W04", "2026-W05")


def test_low_coverage_is_marked_and_warns() -> None:
    coverage = {"rows_used": 90.0, "missing_amount": 10.0}
    found = build(won(110.0, 100.0, coverage=coverage))
    assert found.kpis[0].coverage_text.startswith("low coverage: only 90.0 %")
    assert (found.kpis[0].tone, found.tone) == ("warning", "warning")


# --- groups ----------------------------------------------------------------------------------


def teams(*values: float | None, **columns: Any) -> list[dict[str, Any]]:
    return [
        won(value, segment={"owner.team": f"team {index}"}, **columns)
        for index, value in enumerate(values)
    ]


def test_groups_stand_largest_first_with_null_last() -> None:
    [found] = the_line(won(), *teams(1.0, None, 30.0, 2.0)).breakdowns
    assert [one.label for one in found.segments] == ["team 2", "team 3", "team 0", "team 1"]
    assert found.note == ""


def test_groups_too_small_to_rank_stand_behind_the_others() -> None:
    small = won(900.0, segment={"owner.team": "tiny"}, flags=["low_sample"])
    [found] = the_line(won(), small, *teams(1.0)).breakdowns
    assert [one.label for one in found.segments] == ["team 0", "tiny"]


def test_beyond_ten_groups_the_rest_is_counted() -> None:
    [found] = the_line(won(), *teams(*map(float, range(1010)))).breakdowns
    assert (len(found.segments), found.further, found.note) == (10, 1000, "and 1,000 more")


def test_groupings_are_kept_apart() -> None:
    by_segment = won(5.0, segment={"account.segment": "SMB"})
    found = the_line(won(), *teams(1.0, 2.0), by_segment).breakdowns
    assert [one.dimensions for one in found] == [("owner.team",), ("account.segment",)]


def test_a_kpi_without_total_shows_its_groups() -> None:
    found = the_line(*teams(1.0, 2.0))
    assert (found.value, found.value_text, found.status) == (None, "by owner.team", "ok")


def test_groups_that_are_all_missing_say_why() -> None:
    found = the_line(won(None, status="missing_dataset", segment={"owner.team": "(none)"}))
    assert (found.status, found.tone) == ("missing_dataset", "warning")
    assert "does not cover" in found.status_text


def test_a_null_in_a_segment_reads_none() -> None:
    [found] = the_line(won(), won(segment={"owner.team": None})).breakdowns
    assert found.segments[0].label == "(none)"


def test_the_group_behind_most_of_the_change_is_named() -> None:
    east = won(70.0, 50.0, segment={"owner.team": "East"})
    west = won(40.0, 45.0, segment={"owner.team": "West"})
    [found] = the_line(won(110.0, 95.0), east, west).breakdowns
    assert found.driver is not None
    assert (found.driver.label, found.driver.value_text) == ("East", "+20.00 USD")


def test_a_group_that_is_new_can_be_behind_the_change() -> None:
    east = won(50.0, 50.0, segment={"owner.team": "East"})
    fresh = won(30.0, segment={"owner.team": "New"})
    [found] = the_line(won(80.0, 50.0), east, fresh).breakdowns
    assert found.driver is not None
    assert found.driver.label == "New"


def test_groups_that_do_not_add_up_have_no_part_in_the_change() -> None:
    east = won(70.0, 50.0, segment={"owner.team": "East"})
    west = won(70.0, 45.0, segment={"owner.team": "West"})
    [found] = the_line(won(110.0, 95.0), east, west).breakdowns
    assert found.driver is None


def test_a_rate_has_no_part_of_the_change() -> None:
    def rate(value: float, previous: float, **columns: Any) -> dict[str, Any]:
        return kpi(value=value, previous_value=previous, change=value - previous, **columns)

    east = rate(0.3, 0.2, segment={"owner.team": "East"})
    west = rate(0.2, 0.1, segment={"owner.team": "West"})
    [found] = the_line(rate(0.5, 0.3), east, west).breakdowns
    assert found.driver is None


# --- goals and the whole ---------------------------------------------------------------------


def test_a_goal_outweighs_the_last_change() -> None:
    row = kpi(value=0.5, unit="percent", previous_value=0.6, change=-0.1)
    found = build(row, kpi("average_deal_size", 9500.0, unit="currency"), goals=(Goal(),))
    first = found.kpis[0]
    assert (first.goal_status, first.tone, found.tone) == ("achieved", "good", "good")
    assert first.target == 0.40
    assert first.goal_text.startswith("Close more of what we open: 200.0 % of the way")
    assert first.guardrail_text == "Average deal size 9,500 USD is within its limit"


def test_a_broken_guardrail_makes_the_report_bad_and_its_kpi_first() -> None:
    rows = (
        kpi("average_deal_size", 8500.0, unit="currency"),
        kpi(value=0.5, unit="percent"),
    )
    found = build(*rows, goals=(Goal(),))
    assert found.tone == "bad"
    assert by_urgency(found.kpis)[0].kpi == "win_rate"
    assert "Guardrail broken: Win rate." in found.headline


def test_a_goal_on_a_group_stands_with_the_group() -> None:
    goal = Goal(segment={"owner.team": "East"}, guardrails={})
    found = build(
        kpi(value=0.5, unit="percent"),
        kpi(value=0.31, unit="percent", segment={"owner.team": "East"}),
        goals=(goal,),
    )
    [group] = found.kpis[0].breakdowns[0].segments
    assert found.kpis[0].goal_text == ""
    assert (group.tone, found.tone) == ("bad", "bad")
    assert "off track" in group.goal_text


def test_the_message_states_what_the_numbers_rest_on() -> None:
    found = build(won(), where="segment = 'SMB'", notes=(Note("orders are stale", "x"),))
    assert found.title == "acme: weekly sales 2026-W05"
    assert found.footer == (
        "Period 2026-W05 (2026-01-26 to 2026-02-01)",
        "Data as of 2026-02-02 08:00 Europe/Berlin",
        "Currency USD",
        "Filter segment = 'SMB'",
        "Definitions won_amount 01234567",
        "Run run-1",
    )
    assert (found.period_label, found.period_start, found.period_end) == (
        "2026-W05",
        "2026-01-26",
        "2026-02-02",
    )
    assert found.notes == ("orders are stale",)


def test_the_headline_stands_alone_and_names_three_kpis() -> None:
    rows = [kpi(f"kpi_{index}", float(index)) for index in range(5)]
    assert build(*rows).headline == (
        "acme: weekly sales 2026-W05: kpi_0 0, kpi_1 1, kpi_2 2 and 2 more."
    )


def test_partial_data_is_said_in_the_headline() -> None:
    found = build(won(), is_partial=True)
    assert found.headline.endswith("Based on partial data.")
    assert (found.is_partial, found.tone) == (True, "warning")


def test_a_report_without_rows_says_so() -> None:
    assert build().headline == "acme: weekly sales 2026-W05: no figures."


# --- chat ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dimensions", "detail"),
    [
        (("owner.team",), "group"),
        (("product_id",), "group"),
        (("campaign.name",), "group"),
        (("segment", "lead_source"), "group"),
        (("owner_id",), "person"),
        (("owner.name",), "person"),
        (("user.email",), "person"),
        (("account.owner_id",), "person"),
        (("owner.team", "user_id"), "person"),
        (("account_id",), "record"),
        (("opportunity.account_id", "owner_id"), "record"),
        (("contact.email",), "record"),
        (("id",), "record"),
        (("patient_id",), "record"),
        (("name",), "record"),
        ((), "group"),
    ],
)
def test_dimensions_tell_groups_from_persons_and_records(
    dimensions: tuple[str, ...], detail: str
) -> None:
    assert detail_of(dimensions) == detail


@pytest.mark.parametrize(
    ("dimension", "allow_people", "is_shown"),
    [
        ("owner.team", False, True),
        ("owner_id", False, False),
        ("owner_id", True, True),
        ("account_id", True, False),
    ],
)
def test_chat_shows_people_only_when_allowed_and_records_never(
    dimension: str, allow_people: bool, is_shown: bool
) -> None:
    rows = (won(110.0, 100.0), won(110.0, 100.0, segment={dimension: "X-4711"}))
    shown = for_chat(build(*rows), allow_people=allow_people)
    assert ("X-4711" in str(shown)) is is_shown
    if not is_shown:
        assert "are not shown in chat" in shown.kpis[0].breakdowns[0].note


def test_chat_hides_the_group_behind_the_change_with_its_group() -> None:
    ann = won(70.0, 50.0, segment={"owner_id": "ann"})
    bob = won(40.0, 45.0, segment={"owner_id": "bob"})
    full = build(won(110.0, 95.0), ann, bob)
    assert full.kpis[0].breakdowns[0].driver is not None
    assert "ann" not in str(for_chat(full))


def test_chat_reads_the_notes_without_values_of_records() -> None:
    note = Note("2 leads of ann@acme.com are stale", "2 leads are stale")
    full = build(won(), notes=(note,))
    assert full.notes == ("2 leads of ann@acme.com are stale",)
    shown = for_chat(full)
    assert shown.notes == ("2 leads are stale",)
    assert for_chat(shown) == shown
    assert "ann" not in str(shown)


def users(people: int | None) -> KpiLine:
    few = breakdown("Tiny", "Large")
    segments = (
        SegmentLine({"owner.team": "Tiny"}, 0.123, "12.3 %", n=4),
        SegmentLine({"owner.team": "Large"}, 0.5, "50.0 %", n=5),
        SegmentLine({"owner.team": "Unknown"}, 0.456, "45.6 %", n=None),
    )
    return line(
        "Adoption",
        is_about_users=True,
        n=people,
        series=(0.9, 0.4),
        change_text="down 50.0 points",
        goal_text="Everyone: 40.0 % of the way",
        breakdowns=(replace(few, segments=segments, driver=segments[0], note="and 3 more"),),
    )


def test_chat_hides_groups_of_fewer_than_five_people_of_a_kpi_about_users() -> None:
    [shown] = for_chat(message(users(20)), allow_people=True).kpis
    assert shown.value == 0.4
    [found] = shown.breakdowns
    assert [one.label for one in found.segments] == ["Large"]
    assert found.note == "and 3 more; not shown: 2 with fewer than 5 people"
    assert found.driver is None


@pytest.mark.parametrize("people", [4, 0, None])
def test_chat_hides_a_total_of_fewer_than_five_people_everywhere(people: int | None) -> None:
    shown = for_chat(message(users(people), headline="Adoption 40.0 %"))
    [found] = shown.kpis
    assert (found.value, found.value_text, found.series) == (None, "not shown", ())
    assert "40.0 %" not in str(shown)
    assert "fewer than 5 people" in shown.headline


def test_small_groups_of_other_kpis_are_shown() -> None:
    small = SegmentLine({"owner.team": "Tiny"}, 0.5, "50.0 %", n=1)
    found = line(breakdowns=(replace(breakdown(), segments=(small,)),), n=1)
    assert for_chat(message(found)).kpis == (found,)


def test_titles_with_commas_stay_apart_in_the_headline() -> None:
    lines = [
        line(title="Cases opened, by agents", is_new_alert=True, alert_text="unusually high"),
        line(title="Win rate", is_new_alert=True, alert_text="unusually low"),
    ]
    said = compose_headline("weekly", lines)
    assert said.endswith(" Unusual: Cases opened, by agents; Win rate.")
