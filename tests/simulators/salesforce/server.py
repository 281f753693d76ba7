"""The server: hosts, versions, sessions, the allowance of calls, and the routes of the parts."""

from __future__ import annotations

import re
from email.utils import format_datetime
from typing import Any

from simulators.messages import Answer, Call
from simulators.salesforce.bulk import Bulk
from simulators.salesforce.errors import NOT_FOUND, SCOPE_MISSING, SESSION_LOST, Refusal
from simulators.salesforce.login import Login
from simulators.salesforce.org import Org
from simulators.salesforce.rest import Rest
from simulators.salesforce.selecting import Selection
from simulators.service import Clock, Service, route

_OLDEST_VERSION, _NEWEST_VERSION = 31, 67
_SEASONS = ("Winter", "Spring", "Summer")
_LONGEST_REQUEST = 16_384
_VERSION = re.compile(r"/services/data/v(\d+)\.0(?:/|\Z)")


class SalesforceSimulator(Service):
    """An org behind the REST and Bulk 2.0 APIs.

    `base_url` is the My Domain host and the instance; `login_url`, the same server under the name
    localhost, is the login host: it gives tokens and no data. daily_calls: the allowance of API
    calls, `used` those spent. sends_date: not for clients that go by another clock. selected: every
    (object, field) that a query named.
    """

    def __init__(
        self, *, clock: Clock | None = None, is_multi_currency: bool = False, currency: str = "USD"
    ) -> None:
        super().__init__(clock=clock)
        self.org = Org(self.clock, is_multi_currency=is_multi_currency, currency=currency)
        self.daily_calls = 100_000
        self.used = 0
        self.sends_usage = True
        self.sends_date = False
        self.selected: set[tuple[str, str]] = set()
        self.queries: list[str] = []
        self.login, self.rest, self.bulk = Login(self), Rest(self), Bulk(self)
        for part in (self.login, self.rest, self.bulk):
            self.include(part)

    # --- sessions ----------------------------------------------------------------------------

    @property
    def login_url(self) -> str:
        return self.base_url.replace("127.0.0.1", "localhost")

    def is_login_host(self, call: Call) -> bool:
        return call.headers.get("host", "").startswith("localhost")

    def issue(
        self, *, calls: int | None = None, scopes: frozenset[str] = frozenset({"api"})
    ) -> str:
        """A new access token, as the token endpoint gives it. calls: it dies after so many."""
        token = f"{self.org.id[:15]}!simulatedSession{self.tokens.issued + 1:04d}"
        return self.tokens.issue(token=token, scopes=scopes, calls=calls)

    def refuse(
        self, code: str, message: str, status: int = 400, *,
        on: str = "", times: int | None = 1, skip: int = 0,
    ) -> None:  # fmt: skip
        """A fault: answer chosen calls with this error."""
        self.faults.give(Refusal(code, message, status).answer(), on=on, times=times, skip=skip)

    def noted(self, selection: Selection) -> None:
        """Remember what a query asks for."""
        self.selected |= selection.seen
        self.queries.append(selection.query.text)

    # --- answering ---------------------------------------------------------------------------

    def handle(self, call: Call) -> Answer:
        answer = self._handled(call)
        if not self.sends_date:
            return answer
        return answer.with_headers({"Date": format_datetime(self.clock(), usegmt=True)})

    def _handled(self, call: Call) -> Answer:
        size = len(call.target) + sum(len(n) + len(v) + 4 for n, v in call.headers.items())
        if size > _LONGEST_REQUEST:
            return Answer.html("<h1>Bad Message 431</h1><pre>reason: Request Header Fields Too "
                               "Large</pre>", 431)  # fmt: skip
        if call.path.startswith("/services/oauth2/") or call.path.rstrip("/") == "/services/data":
            return super().handle(call)
        return self.metered(call)

    def metered(self, call: Call) -> Answer:
        """The answer to a call that needs a session and counts against the allowance."""
        try:
            self._check_version(call)
            self._check_session(call)
            if self.used >= self.daily_calls:
                raise Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403)
            self.used += 1
            answer = super().handle(call)
        except Refusal as refusal:
            answer = refusal.answer()
        if self.sends_usage and answer.status != 401:
            usage = f"api-usage={self.used}/{self.daily_calls}"
            answer = answer.with_headers({"Sforce-Limit-Info": usage})
        return answer

    def _check_version(self, call: Call) -> None:
        match = _VERSION.match(call.path)
        if match is None or int(match[1]) > _NEWEST_VERSION:
            raise NOT_FOUND
        if int(match[1]) < _OLDEST_VERSION:
            message = f"API version {match[1]}.0 has been retired."
            raise Refusal("UNSUPPORTED_API_VERSION", message, 410)

    def _check_session(self, call: Call) -> None:
        if "authorization" in call.headers and not call.bearer:
            raise Refusal("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", 401)
        grant = None if self.is_login_host(call) else self.tokens.use(call.bearer)
        if grant is None:
            raise SESSION_LOST
        if not grant.scopes & {"api", "full", "web"}:
            raise SCOPE_MISSING

    def not_found(self, call: Call) -> Answer:
        return NOT_FOUND.answer()

    def not_allowed(self, call: Call) -> Answer:
        message = f"HTTP Method '{call.method}' not allowed"
        return Refusal("METHOD_NOT_ALLOWED", message, 405).answer()

    @route("GET", "/services/data")
    def versions(self, call: Call) -> Answer:
        shown = []
        for number in range(_OLDEST_VERSION, _NEWEST_VERSION + 1):
            # 67 is Summer '26; three releases a year.
            season, year = _SEASONS[(number - 65) % 3], 26 + (number - 65) // 3
            url = f"/services/data/v{number}.0"
            shown.append({"label": f"{season} '{year}", "url": url, "version": f"{number}.0"})
        return Answer.json(shown)

    def limits(self) -> dict[str, Any]:
        return {
            "DailyApiRequests": {
                "Max": self.daily_calls,
                "Remaining": self.daily_calls - self.used,
            },
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": self.bulk.jobs_left},
            "DailyBulkV2QueryFileStorageMB": {"Max": 976_562, "Remaining": 976_562},
            "DailyBulkApiBatches": {"Max": 15_000, "Remaining": 15_000},
        }
