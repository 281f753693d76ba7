"""The invented company while its CRM is being filled: the window, the dice, the rows so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import isqrt
from typing import Any

from crmetrics.datasets import canonical_datasets
from crmetrics.errors import UsageError
from crmetrics.periods import add_months
from crmetrics.testing.data.dice import Dice, workday

Row = dict[str, Any]
"""One record: canonical columns by name; an absent column is null or the column's default."""

SEASON = (78, 92, 118, 94, 98, 122, 86, 72, 112, 100, 104, 128)
"""How busy each month of the year is, January first: quarter ends are strong, summer is quiet."""

EXPORT_DAYS = 10
"""The export was made this long after the last reported day, so that late events exist."""


@dataclass(slots=True)
class User:
    """A human user and how good they are: `skill` in percent of the team's usual result."""

    id: str
    team: str
    created: date
    left: date | None
    skill: int

    def works_on(self, day: date) -> bool:
        return self.created <= day and (self.left is None or day < self.left)


@dataclass(slots=True)
class Account:
    """An account with what the other records need to know of it."""

    row: Row
    id: str
    segment: str
    currency: str
    team: str
    created: date
    customer_since: date | None = None
    is_loyal: bool = False
    contacts: list[str] = field(default_factory=list)
    active: list[tuple[date, date | None]] = field(default_factory=list)

    def is_customer_on(self, day: date) -> bool:
        return any(start <= day and (end is None or day < end) for start, end in self.active)


class Company:
    """Holds the rows of every dataset; the themes add theirs in the order of `SampleCrm`.

    start, end: the reported days, [start, end). exported_at: nothing later than this was recorded.
    dirt: planned defects, (dataset, kind) -> number of rows.
    """

    def __init__(self, seed: int, scale: float, start: date, end: date) -> None:
        if start.day != 1 or end.day != 1 or not start < end:
            raise UsageError(
                f"a sample CRM covers whole months; expected start and end on the first of a month "
                f"and start before end, found {start} and {end}."
            )
        if not 0.05 <= scale <= 100:
            raise UsageError(f"the scale of a sample CRM is from 0.05 to 100, found {scale}.")
        self.seed = seed
        self.scale = scale
        self.start = start
        self.end = end
        self.exported_day = end + timedelta(days=EXPORT_DAYS)
        self.exported_at = datetime.combine(self.exported_day, datetime.min.time(), UTC)
        self.rows: dict[str, list[Row]] = {name: [] for name in canonical_datasets()}
        self.dirt: dict[tuple[str, str], int] = {}
        self.users: list[User] = []
        self.accounts: list[Account] = []

    # --- records -----------------------------------------------------------------------------

    def add(self, dataset: str, /, **values: Any) -> Row:
        """Keep one row and return it, so that later steps can complete it."""
        self.rows[dataset].append(values)
        return values

    def new_id(self, dataset: str, prefix: str) -> str:
        """The next id of a dataset, such as `opp-00042`."""
        return f"{prefix}-{len(self.rows[dataset]) + 1:05d}"

    def count_dirt(self, dataset: str, kind: str, rows: int = 1) -> None:
        self.dirt[dataset, kind] = self.dirt.get((dataset, kind), 0) + rows

    # --- chance, size and time ---------------------------------------------------------------

    def dice(self, theme: str) -> Dice:
        return Dice(f"{self.seed}/{theme}")

    def sized(self, rows: int) -> int:
        """How many records there are at this scale, where `rows` is the number at scale 1."""
        return max(1, int(rows * self.scale))

    def staffed(self, people: int) -> int:
        """How many people do the work at this scale: staff grows with the root of the business."""
        return max(2, people * isqrt(int(self.scale * 10_000)) // 100)

    def months(self) -> list[date]:
        """The first days of the reported months."""
        return [
            add_months(self.start, index)
            for index in range((self.end.year - self.start.year) * 12
                               + self.end.month - self.start.month)
        ]  # fmt: skip

    def is_over(self, instant: datetime | None) -> bool:
        """True for what had happened when the export was made."""
        return instant is not None and instant < self.exported_at

    def days(
        self, dice: Dice, count: int, *, growth: int = 150, earlier: int = 0
    ) -> Iterator[date]:
        """About `count` working days over the window, in order of their month.

        Busy months (`SEASON`) get more; the last month gets `growth` percent of the first.
        A few days lie after the end, as the export was made after it; with `earlier` the days
        begin so many months before the start.
        """
        before = [add_months(self.start, -index) for index in range(earlier, 0, -1)]
        months = [*before, *self.months(), self.end]
        weights = [
            SEASON[month.month - 1] * (100 + (growth - 100) * index // len(months))
            for index, month in enumerate(months)
        ]
        weights[-1] = weights[-1] * EXPORT_DAYS // 31
        total, done, reached = sum(weights), 0, 0
        for month, weight in zip(months, weights, strict=True):
            reached += weight
            following = min(add_months(month, 1), self.exported_day)
            last = (following - month).days - 1
            for _ in range(count * reached // total - done):
                day = workday(month + timedelta(days=dice.between(0, last)))
                yield min(day, self.exported_day - timedelta(days=1))
            done = count * reached // total

    def per_head(self, cents: int, people: int) -> int:
        """What one of the staff does, where `cents` is the figure at scale 1 with `people`."""
        return int(cents * self.scale) * people // self.staffed(people)

    def active_users(self, team: str, day: date) -> Sequence[User]:
        """The team's users on that day; the whole team when nobody is left."""
        team_users = [user for user in self.users if user.team == team]
        return [user for user in team_users if user.works_on(day)] or team_users
