"""What judging is told and what it answers, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import pyarrow as pa

GoalStatus = Literal["achieved", "on_track", "at_risk", "off_track", "breached_guardrail"]


_FROM_URGENT = ("breached_guardrail", "off_track", "at_risk", "", "on_track", "achieved")


class Limits(Protocol):
    """What a guardrail must not pass, in the stored unit of its KPI; None = no limit."""

    @property
    def min(self) -> float | None: ...
    @property
    def max(self) -> float | None: ...


class Goal(Protocol):
    """A goal of the project file. kpi and the keys of guardrails: `ID` or `ID.VARIANT`."""

    @property
    def title(self) -> str: ...
    @property
    def kpi(self) -> str: ...
    @property
    def objective(self) -> str: ...
    @property
    def baseline(self) -> float: ...
    @property
    def target(self) -> float: ...
    @property
    def start(self) -> date: ...
    @property
    def due(self) -> date: ...
    @property
    def owner(self) -> str: ...
    @property
    def rationale(self) -> str: ...
    @property
    def guardrails(self) -> Mapping[str, Limits]: ...
    @property
    def segment(self) -> Mapping[str, str]: ...


class KpiTraits(Struct, frozen=True):
    """What judging and reporting need of a definition beside its numbers.

    adds_up: a sum or count over time, so that values of spans of different length cannot be
    compared. is_snapshot: it is read on a day, not over one's days. is_about_users: it measures
    the users of the CRM (rule V1).
    """

    title: str
    unit: str = ""
    better: Literal["higher", "lower", "none"] = "none"
    adds_up: bool = False
    is_snapshot: bool = False
    is_about_users: bool = False


class GuardrailReading(Struct, frozen=True):
    """A guardrail beside its goal; value None = it could not be checked.

    since: the goal's first day when the value is over the goal's own days, see GoalVerdict.
    """

    kpi: str
    value: float | None
    min: float | None
    max: float | None
    since: date | None = None

    @property
    def is_broken(self) -> bool:
        if self.value is None:
            return False
        return (self.min is not None and self.value < self.min) or (
            self.max is not None and self.value > self.max
        )


class GoalVerdict(Struct, frozen=True):
    """How a goal stands.

    status: empty when it was not judged, then `reason` says why. attainment: 0 = baseline, 1 =
    target; may be negative or above 1. expected: share of the goal's days that are over.
    actual: what was judged; since: the first of the days that it is over when these are the goal's
    own, so that it differs from the value of the reported period; None for that value and for a
    snapshot, which is read on a day.
    row: the row of the results that it was written to; None = the results do not hold the KPI.
    """

    goal: Goal
    status: GoalStatus | Literal[""]
    attainment: float | None
    expected: float
    actual: float | None
    guardrails: tuple[GuardrailReading, ...] = ()
    reason: str = ""
    since: date | None = None
    row: int | None = None

    @property
    def urgency(self) -> int:
        """0 for the most urgent; for sorting."""
        return _FROM_URGENT.index(self.status)

    @property
    def is_missed(self) -> bool:
        """True when the goal is off track or one of its guardrails is broken."""
        return self.status in ("off_track", "breached_guardrail")


class Judgement(Struct, frozen=True):
    """results: the table with its four goal columns filled. verdicts: one per goal it touches."""

    results: pa.Table
    verdicts: tuple[GoalVerdict, ...]
