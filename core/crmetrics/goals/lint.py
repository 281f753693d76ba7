"""What is wrong with goals as they are written (rules G1 and T1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from crmetrics.errors import did_you_mean
from crmetrics.goals.model import Goal, KpiTraits

_NEEDED_GUARDRAILS: Mapping[str, tuple[str, ...]] = {
    "escalation_rate": ("csat",),
    "average_handle_time": ("csat",),
    "leads_created": ("qualified_lead_rate", "sales_accepted_lead_rate"),
}
"""G1: a goal on the KPI needs one of these as a guardrail."""


class GoalFault(Struct, frozen=True):
    """Something wrong with a goal as it is written; path: its place in the project file."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


def lint_goals(goals: Sequence[Goal], traits: Mapping[str, KpiTraits]) -> list[GoalFault]:
    """What is wrong with the goals as written; all of it are errors (G1, T1).

    traits: every KPI and variant that exists, by `ID` and `ID.VARIANT`.
    """
    faults: list[GoalFault] = []
    for index, goal in enumerate(goals):
        at: tuple[str | int, ...] = ("goals", index)
        if goal.kpi not in traits:
            faults.append(_unknown((*at, "kpi"), goal.kpi, traits))
        faults += [
            _unknown((*at, "guardrails", name), name, traits)
            for name in goal.guardrails
            if name not in traits
        ]
        faults += lint_goal(index, goal, traits)
    return faults


def lint_goal(index: int, goal: Goal, traits: Mapping[str, KpiTraits]) -> list[GoalFault]:
    """What is wrong with one goal beside names of KPIs that do not exist."""
    at: tuple[str | int, ...] = ("goals", index)
    return [*_guardrail_faults(goal, at), *_target_faults(goal, at, traits.get(goal.kpi))]


def _unknown(path: tuple[str | int, ...], name: str, traits: Mapping[str, KpiTraits]) -> GoalFault:
    hint = did_you_mean(name, traits) or "`crmetrics list kpis` shows all."
    return GoalFault(path, f"there is no KPI {name!r}.", hint)


def _guardrail_faults(goal: Goal, at: tuple[str | int, ...]) -> list[GoalFault]:
    faults = []
    kpi = goal.kpi.partition(".")[0]
    named = {name.partition(".")[0] for name in goal.guardrails}
    if not named:
        faults.append(
            GoalFault(
                (*at, "guardrails"),
                f"the goal {goal.title!r} names no guardrail (G1).",
                "Add a KPI that must not get worse, with `min` or `max`.",
            )
        )
    needed = _NEEDED_GUARDRAILS.get(kpi, ())
    if needed and not named & set(needed):
        faults.append(
            GoalFault(
                (*at, "guardrails"),
                f"a goal on {kpi} needs {' or '.join(needed)} as a guardrail (G1): "
                f"{kpi} alone is easily improved at the customer's cost.",
            )
        )
    if kpi == "new_customers" and _is_about_loyalty(goal):
        faults.append(
            GoalFault(
                (*at, "kpi"),
                "a loyalty goal cannot be measured by new_customers (G1).",
                "Use loyalty_retention_lift, repeat_purchase_rate or customer_retention_rate.",
            )
        )
    return faults


def _is_about_loyalty(goal: Goal) -> bool:
    return "loyal" in f"{goal.title} {goal.objective} {goal.rationale}".lower()


def _target_faults(
    goal: Goal, at: tuple[str | int, ...], traits: KpiTraits | None
) -> list[GoalFault]:
    baseline, target = float(goal.baseline), float(goal.target)
    # A target that equals the baseline is no fault: it holds a level, its attainment has no value.
    if baseline == target or traits is None or traits.better == "none":
        return []
    wanted = "higher" if target > baseline else "lower"
    if wanted == traits.better:
        return []
    return [
        GoalFault(
            (*at, "target"),
            f"{goal.kpi}: {traits.better} is better, but the target {target:g} is {wanted} than "
            f"the baseline {baseline:g} (T1).",
        )
    ]
