"""Calls to one HubSpot account: paths, tokens, limits, and refusals in plain words."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crmetrics.plugin import SourceError, SourceStorage, http, pause, redact
from crmetrics_hubspot.auth import tokens_for
from crmetrics_hubspot.limits import RETRIES, SEARCH, Limits, judge, policy
from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.paths import path

_ADDRESS = re.compile(r"[^\s@\"'<>(),:;]+@[^\s@\"'<>(),:;]+")
"""What HubSpot says of an e-mail address goes into no message with the address."""

_TRACE = re.compile(r" \(correlation id [^()]*\)")


class MissingScopeError(SourceError):
    """The token lacks a scope. scopes: those that HubSpot asks for; may be empty."""

    def __init__(self, message: str, scopes: tuple[str, ...]) -> None:
        super().__init__(message)
        self.scopes = scopes


class InvalidError(SourceError):
    """HubSpot does not take the request as it is: 400."""


class UnavailableError(SourceError):
    """The account has no such object or API: its plan or its API version lacks it."""


@dataclass(frozen=True)
class Timing:
    """The clocks and the dice of the calls."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], object] = pause
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


class HubSpotApi:
    """One account behind its API. storage: keeps a refresh token that took the place of ours."""

    def __init__(
        self, config: HubSpotOptions, timing: Timing, storage: SourceStorage | None = None
    ) -> None:
        self.version = config.api_version
        self.limits = Limits(config, timing.clock)
        self._signing_in = http.Session(
            config.base_url, retries=RETRIES, judge=judge, sleep=timing.sleep, chance=timing.chance
        )
        self.tokens = tokens_for(config.auth, self._sign_in, timing.now, storage or SourceStorage())
        self._session = http.Session(
            config.base_url,
            headers={"Accept": "application/json"},
            retries=RETRIES,
            tokens=self.tokens,
            budgets=self.limits.budgets,
            judge=judge,
            admit=self.limits.admit,
            observe=self.limits.observe,
            sleep=timing.sleep,
            chance=timing.chance,
            now=timing.now,
        )

    def _sign_in(self, form: dict[str, str]) -> http.Response:
        address = path(self.version, "oauth", "token")
        return self._signing_in.request(
            "POST", address, form=form, is_idempotent=True, is_whole=True
        )

    # --- calls -------------------------------------------------------------------------------

    def get(self, area: str, *rest: str, params: Mapping[str, str] | None = None) -> bytes:
        """The body of a GET. Raises SourceError for anything but success."""
        return self._call("GET", path(self.version, area, *rest), params, None)

    def post(
        self, area: str, *rest: str, body: Any, params: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a POST that only reads. Raises SourceError for anything but success."""
        return self._call("POST", path(self.version, area, *rest), params, body)

    def json(self, area: str, *rest: str, params: Mapping[str, str] | None = None) -> Any:
        """The parsed body of a GET."""
        return json.loads(self.get(area, *rest, params=params))

    def pages(
        self, area: str, *rest: str, params: Mapping[str, str], start: str = ""
    ) -> Iterator[tuple[bytes, str]]:
        """The bodies of a list, each with the `after` of the next one; empty at the end.

        start: the `after` to begin with. The next address is built here: the `link` of a page is
        not followed.
        """
        after, trail = start, http.Trail("/".join((area, *rest)))
        while True:
            trail.enter(http.Step("", {"after": after}))
            asked = {**params, "after": after} if after else params
            body = self.get(area, *rest, params=asked)
            following = next_page(body)
            yield body, following
            if not following:
                return
            after = following

    def items(
        self, area: str, *rest: str, params: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The records of a list, parsed; for lists that are not long."""
        for body, _ in self.pages(area, *rest, params=params or {}):
            yield from json.loads(body).get("results", ())

    def _call(
        self, method: str, address: str, params: Mapping[str, str] | None, body: Any
    ) -> bytes:
        is_search = address.endswith("/search")
        with self._session.request(
            method,
            address,
            params=params,
            json=body,
            is_idempotent=True,
            is_whole=True,
            budget=SEARCH if is_search else "",
        ) as answer:
            content = answer.body
            if answer.is_ok and content.lstrip()[:1] == b"{":
                return content
            raise refusal(answer, f"{method} {address}")

    def close(self) -> None:
        self._session.close()
        self._signing_in.close()


def next_page(body: bytes) -> str:
    """The `after` of the next page; empty at the end."""
    return str(http.member(body, "paging.next.after") or "")


def refusal(answer: http.Response, call: str) -> SourceError:
    """What HubSpot's answer means for the source, with its correlation id for their support."""
    try:
        told = json.loads(answer.body)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    message = str(told.get("message") or answer.excerpt() or "no reason given")
    where = f"HubSpot answered {call} with {answer.status}"
    number = told.get("correlationId") or answer.headers.get("x-hubspot-correlation-id")
    trace = f" (correlation id {number})" if number else ""  # see _TRACE
    text = redact(f"{where}: {_ADDRESS.sub('(address)', message)[:300]}{trace}.")
    if answer.status == 400:
        return InvalidError(text)
    if answer.status == 401:
        return SourceError(
            f"{text} The token is wrong, expired or revoked. Give the source a service key or an "
            "app's token under auth."
        )
    if answer.status == 403:
        scopes = _scopes(told)
        wanted = f"the scope {' or '.join(scopes)}" if scopes else "the scope that it asks for"
        return MissingScopeError(f"{text} Grant the token {wanted}.", scopes)
    if answer.status in (404, 410):
        return UnavailableError(f"{text} The account or API version has no such object.")
    if answer.status == 429 and policy(answer) == "DAILY":
        return SourceError(
            f"{text} The account's calls of today are used up; what is loaded is kept. Run again "
            "after midnight in the account's time zone."
        )
    if answer.status == 477:
        return SourceError(f"{text} HubSpot moves the account to other servers. Run again later.")
    return SourceError(text)


def without_trace(error: SourceError) -> str:
    """What HubSpot's refusal says each time that it is met: without the number of the call."""
    return _TRACE.sub("", str(error))


def _scopes(told: Mapping[str, Any]) -> tuple[str, ...]:
    for error in told.get("errors") or ():
        context = error.get("context") or {} if isinstance(error, dict) else {}
        for key in ("requiredGranularScopes", "requiredScopes"):
            if context.get(key):
                return tuple(str(scope) for scope in context[key])
    return ()
