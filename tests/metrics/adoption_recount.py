"""The adoption KPIs of the sample CRM once more, in plain loops from the words of the catalogue.

Every figure is a pair of sums per group: no SQL and nothing of the engine, so that an error there
cannot hide here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from crmetrics.testing.data.company import Row
from crmetrics.testing.data.facts import Facts, Span, quantile

NONE = "(none)"
GROUPS = ("data_entry", "login", "report_run")
_GROUP_OF = {
    "record_created": "data_entry",
    "record_updated": "data_entry",
    "login": "login",
    "report_run": "report_run",
}
Group = tuple[str, ...]
Sums = dict[Group, list[float]]


class AdoptionRecount(Facts):
    """Users, what they did, learned and finished, from the live records."""

    @cached_property
    def users(self) -> dict[str, Row]:
        return self.live.by_id("users")

    def by_user(self, user: str | None, dimension: str) -> str:
        if dimension == "user_id":
            return user or NONE
        record = self.users.get(user or "", {})
        return record.get(dimension) or NONE

    def tenure(self, user: str, span: Span) -> str:
        last = span.end - timedelta(days=1)
        days = (last - self.local_day(self.users[user]["created_at"])).days
        return "<90" if days < 90 else "90-365" if days < 365 else ">=365"

    def _is_human(self, row: Row) -> bool:
        return row.get("user_type", "human") == "human"

    def seats(self, span: Span) -> list[str]:
        """Licensed human users at the end of the span."""
        end = self.instant(span.end)
        return [
            user
            for user, row in self.users.items()
            if self._is_human(row) and row.get("is_licensed", True)
            and row["created_at"] < end
            and (row.get("deactivated_at") is None or row["deactivated_at"] >= end)
        ]  # fmt: skip

    @cached_property
    def events(self) -> list[tuple[date, Row]]:
        """Successful events of people, with their local day."""
        machines = {user for user, row in self.users.items() if not self._is_human(row)}
        return [
            (self.local_day(row["occurred_at"]), row)
            for row in self.live.rows("user_activity")
            if row.get("is_success", True) and row["user_id"] not in machines
        ]

    def happened(self, span: Span) -> list[Row]:
        return [row for day, row in self.events if day in span]

    # --- use -------------------------------------------------------------------------------------

    def adoption(self, span: Span, *, core: bool = False) -> dict[str, tuple[float, float]]:
        """User with a seat -> (is active, 1)."""
        active = {
            row["user_id"]
            for row in self.happened(span)
            if not core or row["activity_type"].startswith("record_")
        }
        return {user: (float(user in active), 1.0) for user in self.seats(span)}

    def stickiness(self, span: Span) -> dict[str, tuple[float, float]]:
        """User with a seat and an event -> (active days out of all days, 1)."""
        days: dict[str, set[date]] = {user: set() for user in self.seats(span)}
        for row in self.happened(span):
            if row["user_id"] in days:
                days[row["user_id"]].add(self.local_day(row["occurred_at"]))
        length = (span.end - span.start).days
        return {user: (len(found) / length, float(bool(found))) for user, found in days.items()}

    def login_days(self, span: Span) -> dict[str, tuple[float, float]]:
        """User -> (local days with a login, 1 with a seat)."""
        days: dict[str, set[date]] = {user: set() for user in self.seats(span)}
        seats = set(days)
        for row in self.happened(span):
            found = days.setdefault(row["user_id"], set())
            if row["activity_type"] == "login":
                found.add(self.local_day(row["occurred_at"]))
        return {user: (float(len(found)), float(user in seats)) for user, found in days.items()}

    def depth(self, span: Span) -> dict[str, tuple[float, float]]:
        """User with an event -> (object types touched, 1); with a seat alone (0, 0)."""
        types: dict[str, set[str | None]] = {user: set() for user in self.seats(span)}
        active = set()
        for row in self.happened(span):
            active.add(row["user_id"])
            types.setdefault(row["user_id"], set()).add(row.get("object_type"))
        return {
            user: (float(len(found - {None})), float(user in active))
            for user, found in types.items()
        }

    def frequency(self, span: Span, dimension: str = "") -> Sums:
        """(activity group[, group of the user]) -> [events, seats]."""
        sums: Sums = {}
        for user in self.seats(span):
            for kind in GROUPS:
                sums.setdefault(self._key(kind, user, dimension), [0, 0])[1] += 1
        for row in self._without_bulk(span):
            kind = _GROUP_OF[row["activity_type"]]
            sums.setdefault(self._key(kind, row["user_id"], dimension), [0, 0])[0] += 1
        return sums

    def _key(self, kind: str, user: str, dimension: str) -> Group:
        return (kind, self.by_user(user, dimension)) if dimension else (kind,)

    def _without_bulk(self, span: Span) -> list[Row]:
        """Events; more than 200 entries of one user in one clock minute are one."""
        minutes: dict[tuple[str, datetime], list[Row]] = {}
        found = []
        for row in self.happened(span):
            if _GROUP_OF[row["activity_type"]] == "data_entry":
                minute = row["occurred_at"].replace(second=0, microsecond=0)
                minutes.setdefault((row["user_id"], minute), []).append(row)
            else:
                found.append(row)
        for rows in minutes.values():
            found += rows if len(rows) <= 200 else rows[:1]
        return found

    # --- training --------------------------------------------------------------------------------

    def required(self, span: Span) -> list[Row]:
        """The latest enrollments of active users before the span's end that are required."""
        end = self.instant(span.end)
        latest: dict[tuple[str, str], Row] = {}
        rows = sorted(
            self.live.rows("training_enrollments"), key=lambda row: (row["assigned_at"], row["id"])
        )
        for row in rows:
            user = self.users.get(row["user_id"])
            if row["assigned_at"] >= end or user is None or not self._is_human(user):
                continue
            if user.get("deactivated_at") is None or user["deactivated_at"] >= end:
                latest[row["user_id"], row["course"]] = row
        return [row for row in latest.values() if row.get("is_required", True)]

    def is_done(self, row: Row, span: Span) -> bool:
        return bool(row.get("completed_at")) and row["completed_at"] < self.instant(span.end)

    def trained(self, span: Span) -> dict[str, tuple[float, float]]:
        """User with a required course -> (all are completed, 1)."""
        done: dict[str, bool] = {}
        for row in self.required(span):
            done[row["user_id"]] = done.get(row["user_id"], True) and self.is_done(row, span)
        return {user: (float(complete), 1.0) for user, complete in done.items()}

    def due(self, span: Span) -> list[Row]:
        end = self.instant(span.end)
        return [row for row in self.required(span) if row["due_at"] and row["due_at"] < end]

    # --- work ------------------------------------------------------------------------------------

    def employees(self, span: Span) -> dict[str, float]:
        """Human user of a working role -> share of the span in which the user was active."""
        start, end = self.instant(span.start), self.instant(span.end)
        found = {}
        for user, row in self.users.items():
            if not self._is_human(row) or row["role"] not in ("sales", "service", "marketing"):
                continue
            last = min(row.get("deactivated_at") or end, end)
            first = max(row["created_at"], start)
            if last > first:
                found[user] = (last - first) / (end - start)
        return found

    @cached_property
    def finished(self) -> list[tuple[str, date, Row]]:
        """(role, day, record) of every finished item."""
        deals = [
            ("sales", row["close_date"], row)
            for row in self.live.rows("opportunities")
            if row["is_won"]
        ]
        cases = [
            ("service", self.local_day(row["closed_at"]), row)
            for row in self.live.rows("cases")
            if row["is_closed"] and row.get("closed_at")
        ]
        leads = [
            ("marketing", self.local_day(row["mql_at"]), row)
            for row in self.live.rows("leads")
            if row.get("mql_at")
        ]
        return deals + cases + leads

    def work(self, span: Span, dimension: str = "") -> Sums:
        """(role[, group of the user]) -> [items, employees, unassigned, won amount]."""
        sums: Sums = {}

        def add(place: int, role: str, user: str | None, amount: float) -> None:
            group = self.by_user(user, dimension) if dimension else ""
            key = (role, group) if dimension else (role,)
            sums.setdefault(key, [0, 0, 0, 0])[place] += amount

        for user, part in self.employees(span).items():
            add(1, self.users[user]["role"], user, part)
        for role, day, row in self.finished:
            if day not in span:
                continue
            owner = self.users.get(row["owner_id"] or "")
            if owner is None or not self._is_human(owner):
                add(2, role, row["owner_id"], 1)
            elif owner["role"] == role:
                add(0, role, row["owner_id"], 1)
                usd = self.usd(row.get("amount"), row.get("currency"), day)
                add(3, role, row["owner_id"], float(usd or 0) if role == "sales" else 0)
        return sums

    def index(self, span: Span) -> dict[Group, float | None]:
        """(role, user) -> items per employee out of the median of the user's team."""
        sums = self.work(span, "user_id")
        rates = {key: found[0] / found[1] for key, found in sums.items() if found[1]}
        teams: dict[str, list[float]] = {}
        for (_, user), rate in rates.items():
            teams.setdefault(self.by_user(user, "team"), []).append(rate)
        medians = {team: quantile(values, 50) for team, values in teams.items()}
        return {
            key: _over(rate, medians[self.by_user(key[1], "team")] or 0)
            for key, rate in rates.items()
        }


def _over(part: float, whole: float) -> float | None:
    return part / whole if whole else None


PER_USER: dict[str, Callable[[AdoptionRecount, Span], dict[str, tuple[float, float]]]] = {
    "user_adoption_rate": AdoptionRecount.adoption,
    "user_adoption_rate.core_use": lambda facts, span: facts.adoption(span, core=True),
    "user_adoption_rate.stickiness": AdoptionRecount.stickiness,
    "user_activity_frequency.login_days": AdoptionRecount.login_days,
    "user_activity_frequency.depth": AdoptionRecount.depth,
    "training_completion_rate": AdoptionRecount.trained,
}
"""Ratios of two sums over users."""


def ratio(pairs: Iterable[tuple[float, float]]) -> float | None:
    """The sum of the first out of the sum of the second; None where that is zero."""
    pairs = list(pairs)
    return _over(sum(a for a, _ in pairs), sum(b for _, b in pairs))


def filled(value: Any) -> bool:
    """Whether a field counts as filled: neither null nor a placeholder text."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "n/a", "unknown", "-")
    return value is not None
