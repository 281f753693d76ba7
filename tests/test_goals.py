"""Verdicts on goals, and what is wrong with goals as written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest

from crmetrics.catalog.definition import Input, Kpi, Measure, Variant
from crmetrics.config.sections import GoalConfig
from crmetrics.goals import (
    GoalVerdict,
    KpiTraits,
    attainment,
    expected_progress,
    goal_span,
    judge,
    kpi_traits,
    lint_goals,
)
from crmetrics.periods import Calendar
from result_rows import AS_OF, CALENDAR, kpi, table

TRAITS = {
    "win_rate": KpiTraits("Win rate", "percent", "higher"),
    "win_rate.by_amount": KpiTraits("Win rate by amount", "percent", "higher"),
    "first_response_time": KpiTraits("First response time", "seconds", "lower"),
    "won_amount": KpiTraits("Won amount", "currency", "higher", adds_up=True),
    "average_deal_size": KpiTraits("Average deal size", "currency", "higher"),
    "csat": KpiTraits("Satisfaction", "percent", "higher"),
    "average_handle_time": KpiTraits("Handle time", "seconds", "lower"),
    "escalation_rate": KpiTraits("Escalation rate", "percent", "lower"),
    "leads_created": KpiTraits("Leads", "count", "higher", adds_up=True),
    "qualified_lead_rate": KpiTraits("Qualified leads", "percent", "higher"),
    "new_customers": KpiTraits("New customers", "count", "higher", adds_up=True),
}


@dataclass(frozen=True)
class Limit:
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Goal:
    """The half-year goal of the catalogue's example."""

    kpi: str = "win_rate"
    baseline: float = 0.30
    target: float = 0.40
    guardrails: Mapping[str, Limit] = field(
        default_factory=lambda: {"average_deal_size": Limit(min=9000.0)}
    )
    start: date = date(2026, 1, 1)
    due: date = date(2026, 7, 1)
    title: str = "Close more of what we open"
    objective: str = "profitable growth"
    owner: str = "@vp-sales"
    rationale: str = "new qualification step"
    segment: Mapping[str, str] = field(default_factory=dict)


def verdict(rows: list[dict[str, Any]], goal: Goal, **options: Any) -> GoalVerdict:
    values: dict[str, Any] = {"as_of": AS_OF, "calendar": CALENDAR, **options}
    [found] = judge(table(*rows), [goal], TRAITS, **values).verdicts
    return found


def deal_size(value: float | None = 9500.0, **columns: Any) -> dict[str, Any]:
    return kpi("average_deal_size", value, unit="currency", **columns)


# --- the catalogue's example -----------------------------------------------------------------


def test_attainment_and_expected_progress_of_the_catalogue() -> None:
    assert attainment(3000, 3600, 1800) == pytest.approx(0.3333, abs=1e-4)
    assert attainment(0.36, 0.30, 0.40) == pytest.approx(0.6)
    assert expected_progress(Goal(), date(2026, 3, 1)) == pytest.approx(0.3260, abs=1e-4)


@pytest.mark.parametrize(
    ("goal", "actual", "share"),
    [
        (Goal(), 0.36, 0.6),
        (Goal("first_response_time", 3600, 1800), 3000.0, 600 / 1800),
    ],
)
def test_both_goals_of_the_catalogue_are_on_track(goal: Goal, actual: float, share: float) -> None:
    span = {"period_start": goal.start, "period_end": date(2026, 3, 1)}
    measured = table(kpi(goal.kpi, actual, **span), deal_size(**span))
    found = verdict([], goal, measured=measured, as_of=datetime(2026, 3, 1, tzinfo=UTC))
    assert found.status == "on_track"
    assert found.attainment == pytest.approx(share)
    assert found.expected == pytest.approx(59 / 181)


# --- statuses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actual", "status"),
    [
        (0.45, "achieved"),
        (0.40, "achieved"),
        (0.3999, "on_track"),
        (0.30 + 0.1 * 32 / 181, "on_track"),  # exactly the expected share of 32 days
        (0.30 + 0.1 * 0.8 * 32 / 181, "at_risk"),  # exactly 80 % of it
        (0.30 + 0.1 * 0.79 * 32 / 181, "off_track"),
        (0.25, "off_track"),
    ],
)
def test_status_by_the_share_of_the_way(actual: float, status: str) -> None:
    found = verdict([kpi(value=actual), deal_size()], Goal())
    assert (found.status, found.is_missed) == (status, status == "off_track")


def test_before_any_day_is_over_the_baseline_is_on_track() -> None:
    goal = Goal(start=date(2026, 2, 1), due=date(2026, 8, 1))
    found = verdict([kpi(value=0.30), deal_size()], goal, as_of=datetime(2026, 2, 1, 8, tzinfo=UTC))
    assert (found.expected, found.status) == (0.0, "on_track")


def test_lower_is_better_goals_count_downward() -> None:
    goal = Goal("first_response_time", 3600, 1800)
    assert verdict([kpi(goal.kpi, 1700.0), deal_size()], goal).status == "achieved"
    assert verdict([kpi(goal.kpi, 4000.0), deal_size()], goal).attainment == pytest.approx(-2 / 9)


def test_a_broken_guardrail_overrides_an_achieved_goal() -> None:
    found = verdict([kpi(value=0.5), deal_size(8500.0)], Goal())
    assert (found.status, found.is_missed) == ("breached_guardrail", True)
    [guardrail] = found.guardrails
    assert (guardrail.value, guardrail.min, guardrail.is_broken) == (8500.0, 9000.0, True)


@pytest.mark.parametrize(("value", "is_broken"), [(9000.0, False), (8999.999, True)])
def test_a_guardrail_holds_at_its_limit(value: float, is_broken: bool) -> None:
    found = verdict([kpi(), deal_size(value)], Goal())
    assert found.guardrails[0].is_broken is is_broken


def test_a_guardrail_can_have_an_upper_limit() -> None:
    goal = Goal(guardrails={"first_response_time": Limit(max=3600.0)})
    rows = [kpi(value=0.5), kpi("first_response_time", 3601.0)]
    assert verdict(rows, goal).status == "breached_guardrail"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [deal_size(None, status="no_data")],
        [deal_size(1.0, status="partial")],
        [deal_size(1.0, flags=["maturing"])],
        [deal_size(1.0, segment={"owner.team": "East"})],
    ],
)
def test_a_guardrail_without_a_final_value_is_unchecked(rows: list[dict[str, Any]]) -> None:
    found = verdict([kpi(value=0.5), *rows], Goal())
    assert found.guardrails[0].value is None
    assert found.status == "achieved"


# --- what is not judged ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (kpi(value=None, status="no_data"), "there is no value"),
        (kpi(value=None, status="missing_dataset"), "there is no value"),
        (kpi(value=0.5, status="partial"), "the period is not over"),
        (kpi(value=0.5, status="maturing"), "the value may still change"),
        (kpi(value=0.5, status="partial", flags=["maturing"]), "the value may still change"),
        (kpi(value=0.5, status="stale", flags=["partial"]), "the period is not over"),
    ],
)
def test_a_value_that_is_not_final_is_not_judged(row: dict[str, Any], reason: str) -> None:
    judgement = judge(table(row, deal_size()), [Goal()], TRAITS, as_of=AS_OF, calendar=CALENDAR)
    [found] = judgement.verdicts
    assert (found.status, found.attainment, found.reason) == ("", None, reason)
    filled = judgement.results.to_pylist()[0]
    assert filled["goal"] == "Close more of what we open"
    assert filled["goal_target"] == 0.40
    assert (filled["goal_attainment"], filled["goal_status"]) == (None, None)


def test_a_weeks_sum_is_not_judged_against_a_half_years_target() -> None:
    goal = Goal("won_amount", 0, 1_000_000)
    found = verdict([kpi("won_amount", 50_000.0), deal_size()], goal)
    assert (found.status, found.reason) == ("", "its value since 2026-01-01 is not computed")


def test_a_sum_is_judged_by_its_value_over_the_goals_own_span() -> None:
    goal = Goal("won_amount", 0, 1_000_000)
    measured = table(
        kpi("won_amount", 200_000.0, period_start=goal.start, period_end=date(2026, 2, 2)),
        deal_size(9500.0, period_start=goal.start, period_end=date(2026, 2, 2)),
    )
    found = verdict([kpi("won_amount", 50_000.0)], goal, measured=measured)
    assert (found.status, found.attainment, found.actual) == ("on_track", 0.2, 200_000.0)
    assert (found.guardrails[0].value, found.guardrails[0].since) == (9500.0, goal.start)
    assert found.since == goal.start


def test_the_first_day_stands_with_neither_a_periods_value_nor_a_snapshot() -> None:
    goal = Goal("pipeline", 0, 1_000_000, guardrails={"average_deal_size": Limit(min=9000.0)})
    span = {"period_start": goal.start, "period_end": goal.due}
    open_now, size = kpi("pipeline", 200_000.0, **span), deal_size(**span)
    traits = TRAITS | {"pipeline": KpiTraits("Pipeline", "currency", is_snapshot=True)}
    values: dict[str, Any] = {"as_of": AS_OF, "calendar": CALENDAR}
    [snapshot] = judge(table(), [goal], traits, measured=table(open_now, size), **values).verdicts
    assert (snapshot.actual, snapshot.since) == (200_000.0, None)
    assert snapshot.guardrails[0].since == goal.start
    of_a_period = verdict([kpi(value=0.36), deal_size()], Goal())
    assert (of_a_period.since, of_a_period.guardrails[0].since) == (None, None)


def test_a_sum_is_judged_when_the_reported_period_is_the_goals_own() -> None:
    span = {"period_start": date(2026, 1, 1), "period_end": date(2026, 2, 1)}
    goal = Goal("won_amount", 0, 100.0, start=span["period_start"], due=span["period_end"])
    found = verdict([kpi("won_amount", 90.0, **span), deal_size(**span)], goal)
    assert (found.status, found.expected) == ("at_risk", 1.0)


def test_the_goals_own_span_may_be_in_progress() -> None:
    goal = Goal()
    span = {"period_start": goal.start, "period_end": goal.due, "status": "partial"}
    measured = table(kpi(value=0.36, **span), deal_size(8000.0, **span))
    found = verdict([], goal, measured=measured)
    assert found.status == "breached_guardrail"
    assert found.expected == pytest.approx(32 / 181)  # by the day of as_of, not by the due day


def test_a_summed_guardrail_of_another_span_is_unchecked() -> None:
    goal = Goal(guardrails={"won_amount": Limit(min=10_000.0)})
    measured = table(kpi(value=0.5, period_start=goal.start, period_end=date(2026, 2, 2)))
    found = verdict([kpi(value=0.5), kpi("won_amount", 50.0)], goal, measured=measured)
    assert found.guardrails[0].value is None


def test_equal_target_and_baseline_give_no_attainment() -> None:
    found = verdict([kpi(value=0.4), deal_size()], Goal(baseline=0.4))
    assert (found.attainment, found.status) == (None, "")


# --- which rows ------------------------------------------------------------------------------


def test_only_the_last_overlapping_period_of_the_goals_row_is_filled() -> None:
    rows = table(
        kpi(value=0.31, period_start=date(2026, 1, 19), period_end=date(2026, 1, 26)),
        kpi(value=0.35),
        kpi(value=0.9, variant="by_amount"),
        kpi(value=0.9, segment={"owner.team": "East"}),
        kpi("won_amount", 5.0),
        deal_size(),
    )
    judged = judge(rows, [Goal()], TRAITS, as_of=AS_OF, calendar=CALENDAR).results
    assert judged.column("goal").to_pylist() == [
        None, "Close more of what we open", None, None, None, None,
    ]  # fmt: skip
    assert judged.schema.equals(rows.schema)


def test_a_goal_on_a_variant_and_a_segment_finds_its_row() -> None:
    goal = Goal("win_rate.by_amount", segment={"owner.team": "East"})
    rows = [
        kpi(value=0.9, variant="by_amount"),
        kpi(value=0.5, variant="by_amount", segment={"owner.team": "East"}),
    ]
    assert verdict(rows, goal).actual == 0.5


def test_a_null_variant_is_the_default() -> None:
    assert verdict([kpi(value=0.5, variant=None)], Goal()).actual == 0.5


@pytest.mark.parametrize(
    "period", [(date(2025, 12, 25), date(2026, 1, 1)), (date(2026, 7, 1), date(2026, 7, 8))]
)
def test_a_period_outside_the_goal_is_not_touched(period: tuple[date, date]) -> None:
    rows = table(kpi(period_start=period[0], period_end=period[1]))
    judgement = judge(rows, [Goal()], TRAITS, as_of=AS_OF, calendar=CALENDAR)
    assert judgement.verdicts == ()
    assert judgement.results.equals(rows)


def test_of_two_goals_on_one_row_the_more_urgent_is_written() -> None:
    easy = Goal(title="easy", baseline=0.1, target=0.2)
    hard = Goal(title="hard", baseline=0.39, target=0.9)
    judgement = judge(
        table(kpi(), deal_size()), [easy, hard], TRAITS, as_of=AS_OF, calendar=CALENDAR
    )
    assert [one.status for one in judgement.verdicts] == ["achieved", "off_track"]
    assert judgement.results.column("goal").to_pylist() == ["hard", None]


def test_without_goals_or_rows_nothing_happens() -> None:
    for rows in (table(), table(kpi())):
        assert judge(rows, [], TRAITS, as_of=AS_OF, calendar=CALENDAR).results.equals(rows)
    assert judge(table(), [Goal()], TRAITS, as_of=AS_OF, calendar=CALENDAR).verdicts == ()


def test_the_span_of_a_goal_ends_with_the_local_day_of_as_of() -> None:
    late_in_auckland = datetime(2026, 3, 1, 12, tzinfo=UTC)  # the 2nd of March there
    span = goal_span(Goal(), late_in_auckland, Calendar("Pacific/Auckland"))
    assert span == (date(2026, 1, 1), date(2026, 3, 2))
    assert goal_span(Goal(), datetime(2027, 1, 1, tzinfo=UTC), CALENDAR) == (
        date(2026, 1, 1),
        date(2026, 7, 1),
    )
    assert goal_span(Goal(), datetime(2025, 12, 1, tzinfo=UTC), CALENDAR) is None


def test_a_goal_of_the_project_file_can_be_judged() -> None:
    goal = GoalConfig(
        title="Close more",
        kpi="win_rate",
        objective="growth",
        baseline=0.30,
        target=0.40,
        start=date(2026, 1, 1),
        due=date(2026, 7, 1),
        owner="@vp-sales",
        rationale="new step",
        guardrails={"average_deal_size": {"min": 9000}},
    )
    [found] = judge(
        table(kpi(value=0.36), deal_size()), [goal], TRAITS, as_of=AS_OF, calendar=CALENDAR
    ).verdicts
    assert (found.status, found.guardrails[0].min) == ("on_track", 9000)


# --- lint ------------------------------------------------------------------------------------


def faults(goal: Goal) -> list[tuple[tuple[str | int, ...], str]]:
    return [(fault.path, f"{fault.message} {fault.hint}") for fault in lint_goals([goal], TRAITS)]


def test_a_sound_goal_has_no_faults() -> None:
    assert faults(Goal()) == []


def test_a_goal_without_guardrail_is_a_fault() -> None:
    [(path, text)] = faults(Goal(guardrails={}))
    assert path == ("goals", 0, "guardrails")
    assert "names no guardrail" in text


@pytest.mark.parametrize(
    ("kpi_id", "baseline", "target", "missing", "enough"),
    [
        ("escalation_rate", 0.2, 0.1, "csat", "csat"),
        ("average_handle_time", 600, 500, "csat", "csat"),
        ("leads_created", 10, 20, "qualified_lead_rate", "qualified_lead_rate"),
    ],
)
def test_some_goals_need_a_certain_guardrail(
    kpi_id: str, baseline: float, target: float, missing: str, enough: str
) -> None:
    [(path, text)] = faults(Goal(kpi_id, baseline, target))
    assert path == ("goals", 0, "guardrails")
    assert missing in text
    assert faults(Goal(kpi_id, baseline, target, {enough: Limit(min=0.5)})) == []


def test_loyalty_is_not_measured_by_new_customers() -> None:
    goal = Goal("new_customers", 10, 20, objective="More Loyalty members")
    [(path, text)] = faults(goal)
    assert path == ("goals", 0, "kpi")
    assert "loyalty_retention_lift" in text


def test_unknown_kpis_are_named_with_a_suggestion() -> None:
    found = faults(Goal("win_rat", guardrails={"averge_deal_size": Limit(min=1)}))
    assert [path for path, _ in found] == [
        ("goals", 0, "kpi"),
        ("goals", 0, "guardrails", "averge_deal_size"),
    ]
    assert "Did you mean 'win_rate'" in found[0][1]
    assert "Did you mean 'average_deal_size'" in found[1][1]


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (Goal(target=0.2), "higher is better, but the target 0.2 is lower"),
        (Goal("first_response_time", 1800, 3600), "lower is better"),
    ],
)
def test_a_target_in_the_wrong_direction_is_a_fault(goal: Goal, text: str) -> None:
    [(path, message)] = faults(goal)
    assert path == ("goals", 0, "target")
    assert text in message


def test_a_target_that_equals_the_baseline_is_no_fault() -> None:
    assert faults(Goal(target=0.3)) == []


# --- traits of definitions -------------------------------------------------------------------


def definition(pack: str = "sales", unit: str = "currency", **measures: Measure) -> Kpi:
    variants = {name.strip("_"): Variant(name.strip("_"), each) for name, each in measures.items()}
    return Kpi("deals", pack, "Deals", "?", unit, "higher", variants)


def test_variants_have_titles_of_their_own() -> None:
    found = kpi_traits([definition(_=Measure(value="sum(amount_rc)"), by_day=Measure())])
    assert {name: traits.title for name, traits in found.items()} == {
        "deals": "Deals",
        "deals.by_day": "Deals, by day",
    }
    assert (found["deals"].unit, found["deals"].better) == ("currency", "higher")


@pytest.mark.parametrize(
    ("unit", "measure", "adds_up"),
    [
        ("currency", Measure(value="sum(amount_rc)"), True),
        ("count", Measure(value="count(*)"), True),
        ("currency", Measure(value="avg(amount_rc)"), False),
        ("currency", Measure(value=" median (amount_rc)"), False),
        ("currency", Measure(value="sum(amount_rc)", shape="state"), False),
        ("currency", Measure(numerator="sum(amount_rc)", denominator="count(*)"), False),
        ("percent", Measure(value="sum(share)"), False),
    ],
)
def test_sums_and_counts_of_events_add_up(unit: str, measure: Measure, adds_up: bool) -> None:
    traits = kpi_traits([definition(unit=unit, _=measure)])["deals"]
    assert traits.adds_up is adds_up
    assert traits.is_snapshot is (measure.shape == "state")


@pytest.mark.parametrize(
    ("pack", "measure", "is_about_users"),
    [
        ("adoption", Measure(relation="users_by_day", needs={"users": ("team",)}), True),
        ("adoption", Measure(relation="accounts"), False),
        ("sales", Measure(relation="deals_by_team", needs={"users": ("team",)}), False),
        ("own", Measure(relation="training_enrollments"), True),
        ("own", Measure(inputs=(Input("a", measure=Measure(relation="user_activity")),)), True),
    ],
)
def test_kpis_about_users_are_told_by_their_facts(
    pack: str, measure: Measure, is_about_users: bool
) -> None:
    found = kpi_traits([definition(pack, _=measure)])["deals"]
    assert found.is_about_users is is_about_users
