"""What may be sent: ten-second and daily budgets, learnt from HubSpot's headers, and ceilings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from crmetrics.plugin import SourceError, http
from crmetrics_hubspot.options import HubSpotOptions

SEARCH = "search"
CALLS_PER_TEN_S = 90
"""Before the first answer tells more: the smallest account allows 100, and others call too."""

SEARCHES_PER_S = 4
"""HubSpot allows an account 5; its answers carry no header that tells."""

RETRIES = http.Retries(attempts=8, first_pause_s=1.0, longest_pause_s=30.0, longest_wait_s=120.0)
"""A rolling window of ten seconds has to pass: 1 + 2 + 4 + 8 seconds and more."""

_BUSY = frozenset({423, 477, 500, 502, 503, 504, 521, 522, 523, 524})


def _by_status(response: http.Response) -> http.Hitch | None:
    if response.status == 429:
        return None if policy(response) == "DAILY" else "declined"
    return "busy" if response.status in _BUSY else None


judge = http.expecting_json(_by_status)
"""Which answers of HubSpot are worth another try."""


def policy(response: http.Response) -> str:
    """Which limit a 429 speaks of: SECONDLY, TEN_SECONDLY_ROLLING, DAILY; empty = it says none.

    HubSpot has several forms of this answer; the policy's name is in one, the words in all.
    """
    text = response.text
    for name in ("DAILY", "TEN_SECONDLY_ROLLING", "SECONDLY"):
        if f'"{name}"' in text or f"{name.lower()} limit" in text:
            return name
    return ""


class Limits:
    """Counts the calls of one connector and stops before a ceiling.

    daily, daily_left: what the account may send today and what is left; None = not told (OAuth
    apps have no daily limit).
    """

    def __init__(self, config: HubSpotOptions, clock: Callable[[], float]) -> None:
        self._ceiling = config.max_calls_per_run
        self._percent = config.max_api_usage_percent
        self.calls = 0
        self.daily: int | None = None
        self.daily_left: int | None = None
        self._lock = threading.Lock()
        self._general = http.Budget(CALLS_PER_TEN_S, per_s=10.0, clock=clock)
        self.budgets: Mapping[str, http.Budget] = {
            "": self._general,
            SEARCH: http.Budget(SEARCHES_PER_S, per_s=1.0, clock=clock),
        }

    @property
    def reserve(self) -> int:
        """The daily calls that are left to others."""
        daily = self.daily or 0
        return daily - int(daily * self._percent / 100)

    def admit(self, budget: str) -> None:
        """Raises SourceError when the call would go beyond a ceiling."""
        with self._lock:
            if self._ceiling is not None and self.calls >= self._ceiling:
                raise SourceError(
                    f"the run has made {self.calls} calls, which is its ceiling "
                    "(max_calls_per_run). What is not loaded stays for the next run; raise the "
                    "ceiling or ask for fewer KPIs if this happens again."
                )
            if self.daily is not None and self.daily_left is not None:
                reserve = self.reserve
                if self.daily_left <= reserve:
                    raise SourceError(
                        f"{self.daily_left} of the account's {self.daily} daily calls are left, "
                        f"and the source keeps {reserve} of them for others (max_api_usage_percent "
                        f"{self._percent:g}). The allowance starts anew at midnight in "
                        "the account's time zone; run again then."
                    )
            self.calls += 1

    def observe(self, response: http.Response) -> None:
        """Learn from the headers of an answer."""
        with self._lock:
            self.daily = _number(response, "Daily") or self.daily
            left = _number(response, "Daily-Remaining")
            self.daily_left = self.daily_left if left is None else left
            most = _number(response, "Max")
            if most:
                # A tenth is left to the account's other integrations.
                self._general.limit(max(1, most * 9 // 10))


def _number(response: http.Response, name: str) -> int | None:
    text = response.headers.get(f"X-HubSpot-RateLimit-{name}", "")
    return int(text) if text.isdigit() else None
