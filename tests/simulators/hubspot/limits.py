"""Rate limits of an account: calls in ten seconds and a day, searches in a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from simulators.hubspot.errors import Refusal, too_many

Variant = Literal["", "retry_after", "bare"]


@dataclass
class Limits:
    """What an account may send; None = without limit.

    per_day is counted down from what is left. variant: how a refusal looks (with Retry-After;
    without policy name). is_oauth: answers carry no daily headers.
    """

    per_ten_s: int | None = 100
    searches_per_s: int | None = 5
    per_day: int | None = 250_000
    variant: Variant = ""
    sent_today: int = 0
    refused: list[str] = field(default_factory=list)
    _calls: deque[datetime] = field(default_factory=deque)
    _searches: deque[datetime] = field(default_factory=deque)

    def take(self, clock: Callable[[], datetime], *, is_search: bool) -> None:
        """Count a call. Raises Refusal when there were too many."""
        now = clock()
        if self.per_day is not None and self.sent_today >= self.per_day:
            raise self._refusal("DAILY")
        if is_search:
            if self.searches_per_s is not None:
                self._enter(self._searches, now, timedelta(seconds=1), self.searches_per_s)
        elif self.per_ten_s is not None:
            self._enter(self._calls, now, timedelta(seconds=10), self.per_ten_s)
        self.sent_today += 1

    def _enter(self, calls: deque[datetime], now: datetime, window: timedelta, most: int) -> None:
        while calls and calls[0] <= now - window:
            calls.popleft()
        if len(calls) >= most:
            raise self._refusal("SECONDLY" if calls is self._searches else "TEN_SECONDLY_ROLLING")
        calls.append(now)

    def _refusal(self, policy: str) -> Refusal:
        self.refused.append(policy)
        seconds = {"SECONDLY": 1, "TEN_SECONDLY_ROLLING": 10}.get(policy)
        return too_many(
            policy,
            retry_after_s=seconds if self.variant == "retry_after" else None,
            is_bare=self.variant == "bare",
        )

    def headers(self) -> dict[str, str]:
        """What every answer but a search carries."""
        found: dict[str, str] = {}
        if self.per_ten_s is not None:
            found = {
                "X-HubSpot-RateLimit-Max": str(self.per_ten_s),
                "X-HubSpot-RateLimit-Remaining": str(self.per_ten_s - len(self._calls)),
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            }
        if self.per_day is not None:
            found["X-HubSpot-RateLimit-Daily"] = str(self.per_day)
            found["X-HubSpot-RateLimit-Daily-Remaining"] = str(self.per_day - self.sent_today)
        return found
