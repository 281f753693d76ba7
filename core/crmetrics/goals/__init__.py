"""Judge results against goals and guardrails (rules T1 to G2 and `goal_attainment`), and series by
their trend and unusual values (A1, A2).

Pure functions over Arrow tables of `results.result_schema()`. A goal is judged by the value of its
KPI over the goal's own span so far (`measured`). Without that, the reported period's value stands
in, except for sums and counts: a week's sales say nothing about a half-year's target.

No number is better than a wrong one: a value that is partial, still maturing or missing is not
judged, and the verdict says why.
"""

from crmetrics.goals.lint import GoalFault, lint_goal, lint_goals
from crmetrics.goals.model import (
    Goal,
    GoalStatus,
    GoalVerdict,
    GuardrailReading,
    Judgement,
    KpiTraits,
    Limits,
)
from crmetrics.goals.patterns import FEWEST_PAIRS, Association, associations
from crmetrics.goals.signals import Alert, Rules, Side, Trend, trend, unusual
from crmetrics.goals.traits import kpi_traits
from crmetrics.goals.verdicts import (
    attainment,
    elapsed_share,
    expected_progress,
    goal_span,
    goal_status,
    judge,
    kpi_name,
)

__all__ = [
    "FEWEST_PAIRS",
    "Alert",
    "Association",
    "Goal",
    "GoalFault",
    "GoalStatus",
    "GoalVerdict",
    "GuardrailReading",
    "Judgement",
    "KpiTraits",
    "Limits",
    "Rules",
    "Side",
    "Trend",
    "associations",
    "attainment",
    "elapsed_share",
    "expected_progress",
    "goal_span",
    "goal_status",
    "judge",
    "kpi_name",
    "kpi_traits",
    "lint_goal",
    "lint_goals",
    "trend",
    "unusual",
]
