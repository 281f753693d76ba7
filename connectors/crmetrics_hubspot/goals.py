"""Goals: which of them are targets of won amount, for whom, and for which days.

A goal says what it measures: an object, a property, how its values are put together and which of
the records count. A target of calls made or of pipeline generated is no quota of won amount.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any

import pyarrow as pa

from crmetrics_hubspot.account import Account
from crmetrics_hubspot.values import INSTANT, Misfits, typed

MEASURE = ("hs_goal_type", "hs_kpi_object_type_id", "hs_kpi_metric_type", "hs_kpi_property_name",
           "hs_kpi_filter_groups", "hs_kpi_time_period_property")  # fmt: skip
"""Properties that say what a goal measures."""

LIMITED = ("hs_pipeline_ids",)
ASSIGNEES = ("hubspot_owner_id", "hs_assignee_user_id", "hs_assignee_team_id", "hubspot_team_id")
DAYS = ("hs_start_datetime", "hs_end_datetime")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "goal_kpi": (*MEASURE, *LIMITED, *ASSIGNEES),
    "goal_owner": ASSIGNEES,
    "goal_first_day": DAYS,
    "goal_end_day": DAYS,
}
"""Fields that a mapping of goals may read, with the properties behind them."""

_DEALS = frozenset({"0-3", "DEAL"})
_AMOUNTS = frozenset({"amount", "amount_in_home_currency"})
_WON_AMOUNTS = frozenset({"hs_closed_amount", "hs_closed_amount_in_home_currency"})
_WON = "hs_is_closed_won"
_SHOWN = 5
Values = Mapping[str, str | None]


@dataclass
class Goals:
    """The fields of goals, and what became of those that are no quota.

    known: the properties that goals have in this account.
    """

    account: Account
    known: Collection[str]
    unused: Counter[str] = field(default_factory=Counter)
    untold: int = 0
    misfits: dict[str, Misfits] = field(default_factory=lambda: defaultdict(_misfits))

    def of(self, name: str, count: int, texts: Callable[[str], Any]) -> Any:
        """One of FIELDS for each of `count` goals. texts: gives a property as it came."""
        columns = {
            prop: texts(prop).to_pylist() if prop in self.known else [None] * count
            for prop in FIELDS[name]
        }
        goals = [{prop: values[row] or None for prop, values in columns.items()}
                 for row in range(count)]  # fmt: skip
        match name:
            case "goal_kpi":
                return pa.array([self._kpi(goal) for goal in goals], pa.string())
            case "goal_owner":
                pairs = ((g["hubspot_owner_id"], g["hs_assignee_user_id"]) for g in goals)
                owners = [self.account.owner_or_user(*pair) for pair in pairs]
                return pa.array(owners, pa.string())
        place = ("goal_first_day", "goal_end_day").index(name)
        ends = _instants(columns, self.misfits[name])
        days = [days_of(start, end, self.account.zone) for start, end in ends]
        return pa.array([pair[place] for pair in days], pa.date32())

    def unfit(self) -> list[str]:
        """Days that are none; both ends of a goal are looked at for either field."""
        return list(dict.fromkeys(n for found in self.misfits.values() for n in found.notices()))

    def notices(self) -> list[str]:
        found = []
        if self.unused:
            shown = ", ".join(f"{n} {what}" for what, n in self.unused.most_common(_SHOWN))
            found.append(
                f"quotas: {self.unused.total()} goals are not used, because they are no targets of "
                f"won amount for a person or the company: {shown}. Map kpi_id under `columns:` to "
                "say yourself what the goals of this account are for."
            )
        if self.untold:
            found.append(
                f"quotas: this account does not say what its goals measure; all {self.untold} are "
                "taken for targets of won amount. Map kpi_id under `columns:` if they are not."
            )
        return found

    # --- one goal ------------------------------------------------------------------------------

    @cached_property
    def _pipelines(self) -> set[str]:
        """All pipelines of deals; one that no goal names where the token does not reach deals."""
        is_known = self.account.reaches("deals")
        return set(self.account.pipelines("deals").labels) if is_known else {""}

    def _kpi(self, goal: Values) -> str | None:
        if not set(MEASURE) & set(self.known):
            self.untold += 1
            return "won_amount"
        why = self._why_not(goal)
        if why:
            self.unused[why] += 1
        return None if why else "won_amount"

    def _why_not(self, goal: Values) -> str:
        """Empty for a target of won amount; else what the goal is."""
        measured = measure_of(goal)
        if measured != "won amount":
            return f"of {measured}"
        pipelines = {name for name in (goal["hs_pipeline_ids"] or "").split(";") if name}
        if pipelines and not pipelines >= self._pipelines:
            return "of won amount in some pipelines only"
        if not _person(goal) and (goal["hs_assignee_team_id"] or goal["hubspot_team_id"]):
            return "of won amount of a team"
        return ""


def days_of(
    start: datetime | None, end: datetime | None, account_zone: tzinfo
) -> tuple[date | None, date | None]:
    """The first day, and the day after the last.

    HubSpot writes the days of a goal as instants of UTC, whatever the account's time zone; a goal
    that begins at another hour is taken to begin with a day of that zone. A goal ends with the last
    instant of a day or at midnight: of the day after when that makes whole weeks or months, else of
    its last day.
    """
    zone = UTC if start is None or _is_midnight(start) else account_zone
    first = start.astimezone(zone).date() if start else None
    if end is None:
        return first, None
    local = end.astimezone(zone)
    if _is_midnight(local) and first is not None and _are_whole(first, local.date()):
        return first, local.date()
    return first, local.date() + timedelta(days=1)


def _person(goal: Values) -> str | None:
    return goal["hubspot_owner_id"] or goal["hs_assignee_user_id"]


def measure_of(goal: Values) -> str:
    """What a goal measures, in words."""
    kind, name = goal["hs_kpi_object_type_id"], goal["hs_kpi_property_name"]
    if kind is None and name is None:
        own = goal["hs_goal_type"]
        return "won amount" if own == "sales_quota" else own or "an unknown measure"
    metric = (goal["hs_kpi_metric_type"] or "SUM").upper()
    if kind in _DEALS and metric == "SUM":
        is_closing = goal["hs_kpi_time_period_property"] in (None, "closedate")
        is_won = _WON in (goal["hs_kpi_filter_groups"] or "")
        if is_closing and (name in _WON_AMOUNTS or (name in _AMOUNTS and is_won)):
            return "won amount"
    return f"{metric.lower()} {name or 'of records'} of {kind or 'an unknown object'}"


def _are_whole(first: date, end: date) -> bool:
    """Whether [first, end) is a number of weeks or months."""
    days = (end - first).days
    return days > 0 and (days % 7 == 0 or first.day == end.day)


def _is_midnight(instant: datetime) -> bool:
    return (instant.hour, instant.minute, instant.second, instant.microsecond) == (0, 0, 0, 0)


def _misfits() -> Misfits:
    return Misfits("goal_targets")


def _instants(
    columns: Mapping[str, list[Any]], misfits: Misfits
) -> list[tuple[datetime | None, datetime | None]]:
    texts = pa.RecordBatch.from_arrays(
        [pa.array(columns[name], pa.string()) for name in DAYS], names=list(DAYS)
    )
    start, end = typed(texts, dict.fromkeys(DAYS, INSTANT), misfits)
    return list(zip(start.to_pylist(), end.to_pylist(), strict=True))
