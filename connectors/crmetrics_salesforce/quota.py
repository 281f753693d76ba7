"""The allowance of API calls: known before the first read, left before it is used up."""

from __future__ import annotations

import re
import threading

from crmetrics.plugin import SourceError, http

MOST_PARTS = 25  # requests in one composite/batch
_USAGE = re.compile(r"\bapi-usage=(\d+)/(\d+)")


class QuotaError(SourceError):
    """The next call would go beyond what the project file allows."""


def budget_of(parts: int) -> str:
    """The name of the budget of a call that carries so many requests: each of them counts too."""
    return f"with {parts} parts" if parts else ""


BUDGETS = {budget_of(parts): 1 + parts for parts in range(MOST_PARTS + 1)}
"""Name of a budget -> what a call under it counts as."""


class Quota:
    """Counts calls and refuses the one that would pass a ceiling.

    percent: share of the org's daily calls that may be used up, by anybody. per_run: calls of this
    run. The org's own figure comes with every answer.
    """

    def __init__(self, percent: float, per_run: int | None) -> None:
        self._percent = percent
        self._per_run = per_run
        self._lock = threading.Lock()
        self.calls = 0
        self.used: int | None = None
        self.daily: int | None = None
        self._is_used_up = False

    @property
    def ceiling(self) -> int | None:
        """Calls of the day that may be used up; None while the allowance is not known."""
        return None if self.daily is None else int(self.daily * self._percent / 100)

    def admit(self, budget: str = "") -> None:
        """Count a call and the requests that it carries (see `budget_of`), or raise QuotaError."""
        cost = BUDGETS[budget]
        more = f", and the next request counts as {cost} calls" if cost > 1 else ""
        with self._lock:
            if self._is_used_up:
                raise QuotaError(
                    "the org has refused a call of this run because its daily calls are used up. "
                    "What is loaded stays; run again when the 24 hours are over."
                )
            if self._per_run is not None and self.calls + cost > self._per_run:
                limit = f"{more}: beyond the {self._per_run:,}" if more else ", the limit"
                raise QuotaError(
                    f"this run has made {self.calls:,} calls{limit} of max_calls_per_run. "
                    "What is loaded stays; raise the limit or run again later."
                )
            ceiling = self.ceiling
            if ceiling is not None and self.used is not None and self.used + cost > ceiling:
                raise QuotaError(
                    f"the org has used {self.used:,} of its {self.daily:,} daily calls; "
                    f"max_api_usage_percent allows {ceiling:,}{more}. What is loaded stays; run "
                    "again when the 24 hours are over, or raise the limit."
                )
            self.calls += cost
            if self.used is not None:
                self.used += cost  # until the answer says it exactly: other threads ask meanwhile

    def end(self) -> None:
        """Let no further call out: the org refuses them all for the rest of the day."""
        with self._lock:
            self._is_used_up = True

    def observe(self, response: http.Response) -> None:
        """Learn from the usage that an answer carries."""
        match = _USAGE.search(response.headers.get("Sforce-Limit-Info", ""))
        if match:
            self.learn(int(match[1]), int(match[2]))

    def learn(self, used: int, daily: int) -> None:
        with self._lock:
            # Answers overtake each other: the figure only grows within a run.
            self.used = max(used, self.used or 0) if self.daily == daily else used
            self.daily = daily
