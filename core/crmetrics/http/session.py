"""A session: one service, its connections, its token, its budgets, its counters."""

from __future__ import annotations

import json as json_format
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from crmetrics import stopping
from crmetrics._version import __version__
from crmetrics.http import recording
from crmetrics.http.addresses import require_safe
from crmetrics.http.budget import Budget
from crmetrics.http.failures import HttpError, ended
from crmetrics.http.response import Response
from crmetrics.http.retries import (
    IDEMPOTENT,
    Judge,
    Retries,
    asked_wait_s,
    by_status,
)
from crmetrics.http.tokens import Tokens
from crmetrics.http.transport import Outgoing, Timeouts
from crmetrics.secrets import Secret

USER_AGENT = f"crmetrics/{__version__}"
_REFUSED_TOKEN = 401
_TIMEOUTS = Timeouts()
_RETRIES = Retries()


class Session:
    """Connections to one service, with time limits, retries, a token and counters; thread-safe.

    base_url: what relative addresses are relative to; plain http only for this machine. tokens:
    sends an access token, and renews it once when a 401 refuses it. budgets: name -> requests
    allowed per time; "" is the budget of requests that name none. judge: which answers are worth
    another try. admit: called before every attempt with the name of its budget; what it raises
    ends the request (a quota). observe: called with every answer, to learn from its headers.
    sleep, chance and now are the clock and the dice of the retries. When the program is asked to
    end, no wait is begun or ended: the request fails, and is not repeated.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        timeouts: Timeouts = _TIMEOUTS,
        retries: Retries = _RETRIES,
        tokens: Tokens | None = None,
        budgets: Mapping[str, Budget] = MappingProxyType({}),
        judge: Judge = by_status,
        admit: Callable[[str], None] | None = None,
        observe: Callable[[Response], None] | None = None,
        proxy: str = "",
        sleep: Callable[[float], object] = stopping.pause,
        chance: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.base_url = require_safe(base_url).rstrip("/") if base_url else ""
        self.tokens = tokens
        self._headers = {"User-Agent": USER_AGENT, **headers}
        self._timeouts = timeouts
        self._retries = retries
        self._budgets = dict(budgets)
        self.judge = judge
        self._admit, self._observe = admit, observe
        self._sleep, self._chance, self._now = sleep, chance, now
        self._sent: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._transport = recording.transport(proxy=proxy)

    @property
    def requests_sent(self) -> int:
        """How many attempts were made, whatever came of them."""
        with self._counting:
            return sum(self._sent.values())

    def sent(self, budget: str = "") -> int:
        """How many attempts were made under one budget."""
        with self._counting:
            return self._sent[budget]

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        body: bytes | None = None,
        form: Mapping[str, str] | None = None,
        json: Any = None,
        is_idempotent: bool | None = None,
        is_whole: bool = False,
        budget: str = "",
        token: Secret | None = None,
        timeouts: Timeouts | None = None,
        judge: Judge | None = None,
    ) -> Response:
        """Send a request and give the answer, whatever its status; redirects are not followed.

        url: absolute, or a path below `base_url`. body, form or json: what is sent. is_idempotent:
        whether a repeat does no harm; by default what HTTP says of the method. is_whole: the body
        is read before the answer is given, so that a body that breaks off is asked for again.
        token: send this one, and do not renew it (an address that belongs to a session). judge: in
        place of the session's, for what answers in a format of its own.
        An answer that its judge would repeat is returned when the attempts are used up; a 401
        when a new token did not help either. Raises HttpError when there is no answer.
        """
        method = method.upper()
        body, kind = _encoded(body, form, json)
        outgoing = Outgoing(
            method,
            self._address(url),
            params,
            {**self._headers, **kind, **headers},
            body,
            timeouts or self._timeouts,
        )
        repeatable = method in IDEMPOTENT if is_idempotent is None else is_idempotent
        attempts = _Attempts(self, outgoing, repeatable, is_whole, budget, judge or self.judge)
        answer = attempts.until_answered(token)
        if isinstance(answer, Response) and answer.status == _REFUSED_TOKEN and token is None:
            fresh = self.tokens.renew(answer.token) if self.tokens and answer.token else None
            if fresh is not None:
                answer.close()
                answer = attempts.until_answered(fresh)
        if isinstance(answer, HttpError):
            raise answer
        return answer

    def get(self, url: str, **options: Any) -> Response:
        """A GET whose body is read whole, and whose status is 2xx; takes what `request` takes.

        Raises StatusError for any other status, HttpError when there is no answer.
        """
        return self.request("GET", url, is_whole=True, **options).require_ok(f"GET {_path(url)}")

    def _address(self, url: str) -> str:
        if "://" in url:
            return require_safe(url)
        return f"{self.base_url}/{url.lstrip('/')}"

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Attempts:
    """One request, sent as often as it takes."""

    def __init__(
        self,
        session: Session,
        outgoing: Outgoing,
        repeatable: bool,
        is_whole: bool,
        budget: str,
        judge: Judge,
    ) -> None:
        self._session = session
        self._outgoing = outgoing
        self._repeatable = repeatable
        self._is_whole = is_whole
        self._budget_name = budget
        self._budget = session._budgets.get(budget)
        self._judge = judge
        self._start = 0.0

    def until_answered(self, token: Secret | None) -> Response | HttpError:
        session = self._session
        attempt = 1
        while True:
            answer = self._send(token)
            pause_s = self._pause_before_repeat(answer, attempt)
            if pause_s is None:
                return answer
            if isinstance(answer, Response):
                answer.close()
            session._sleep(pause_s)
            if stopping.is_asked():
                return self._given_up(answer)
            attempt += 1

    def _send(self, token: Secret | None) -> Response | HttpError:
        session = self._session
        if token is None and session.tokens is not None:
            token = session.tokens.current()
        if not self._wait_for_budget():
            return ended(self._outgoing.url)
        if session._admit is not None:
            session._admit(self._budget_name)
        with session._counting:
            session._sent[self._budget_name] += 1
        incoming = session._transport.send(self._authorised(token))
        if isinstance(incoming, HttpError):
            return incoming
        response = Response(incoming, token)
        if session._observe is not None:
            session._observe(response)
        if session.tokens is not None and token is not None and response.status != _REFUSED_TOKEN:
            session.tokens.accepted(token)
        if not self._is_whole:
            return response
        try:
            _ = response.body
        except HttpError as exc:
            response.close()
            return exc
        return response

    def _wait_for_budget(self) -> bool:
        """False when the program is to end before the request may start."""
        if self._budget is None:
            return True
        self._start, wait_s = self._budget.book()
        if wait_s <= 0:
            return True
        self._session._sleep(wait_s)
        return not stopping.is_asked()

    def _given_up(self, answer: Response | HttpError) -> HttpError:
        """Why a request that was worth another try gets none."""
        if isinstance(answer, HttpError):
            return answer
        # Only what was declined, or does no harm when it is done twice, comes here.
        return ended(self._outgoing.url, answer.status)

    def _authorised(self, token: Secret | None) -> Outgoing:
        if token is None or self._session.tokens is None:
            return self._outgoing
        sent = self._outgoing
        headers = {**sent.headers, **self._session.tokens.headers(token)}
        return Outgoing(sent.method, sent.url, sent.params, headers, sent.body, sent.timeouts)

    def _pause_before_repeat(self, answer: Response | HttpError, attempt: int) -> float | None:
        """Seconds to wait before the request is sent again; None = take the answer as it is."""
        session, retries = self._session, self._session._retries
        is_last = attempt >= retries.attempts
        if isinstance(answer, HttpError):
            if is_last or answer.is_permanent:
                return None
            if answer.is_outcome_unknown and not self._repeatable:
                return None
            return retries.pause_s(attempt, session._chance())
        hitch = self._judge(answer)
        if hitch is None or (hitch == "busy" and not self._repeatable):
            return None
        asked_s = asked_wait_s(answer.headers, session._now())
        if hitch == "declined" and self._budget is not None:
            self._budget.refused(self._start, min(asked_s or 0.0, retries.longest_wait_s))
        if is_last:
            return None
        if asked_s is None:
            return retries.pause_s(attempt, session._chance())
        return asked_s if asked_s <= retries.longest_wait_s else None


def _encoded(
    body: bytes | None, form: Mapping[str, str] | None, json: Any
) -> tuple[bytes | None, Mapping[str, str]]:
    """The body as bytes, and the header that says what it is."""
    if form is not None:
        return urlencode(form).encode("ascii"), {
            "Content-Type": "application/x-www-form-urlencoded"
        }
    if json is not None:
        return json_format.dumps(json).encode("utf-8"), {"Content-Type": "application/json"}
    return body, {}


def _path(url: str) -> str:
    """The path of an address that holds no secret by itself: query and host are left out."""
    return url.partition("?")[0].partition("://")[2].partition("/")[2] or url.partition("?")[0]
