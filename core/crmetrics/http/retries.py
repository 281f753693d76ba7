"""How often to try, how long to wait in between, and which answers are worth another try."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from crmetrics.http.instants import instant_of

if TYPE_CHECKING:
    from crmetrics.http.response import Response

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

Hitch = Literal["declined", "busy"]
"""Why an answer may be asked for again. declined: the server did nothing (429), so that any request
may be repeated, more slowly. busy: it failed for now (5xx); only what is idempotent is repeated."""

Judge = Callable[["Response"], Hitch | None]
"""Sorts an answer; None = take it as it is. A service with hints of its own brings its own."""

_BUSY = frozenset({500, 502, 503, 504})
_DECLINED = 429
_BRACKETS = ((b"{", b"}"), (b"[", b"]"))
_LOOKED_AT = 64  # bytes in which a document has begun or ended, white space included


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently a request is repeated.

    attempts: tries in all. The pause doubles from `first_pause_s` up to `longest_pause_s`, each
    cut at random to between half and all of it. longest_wait_s: a server that asks for a longer
    pause (Retry-After) is not waited for; its answer is returned instead.
    """

    attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    longest_wait_s: float = 120.0

    def pause_s(self, attempt: int, share: float) -> float:
        """The pause after the attempt of this number (1 = the first); share: 0 to 1, random."""
        doubled = min(self.first_pause_s * 2.0 ** (attempt - 1), self.longest_pause_s)
        return doubled * (0.5 + share / 2)


def by_status(response: Response) -> Hitch | None:
    """What the status alone says."""
    if response.status == _DECLINED:
        return "declined"
    return "busy" if response.status in _BUSY else None


def is_json(response: Response) -> bool:
    """True for a body that is a whole JSON document.

    What a gateway says in plain words, nothing at all, and a document that was torn are none. A
    torn one lacks what closes it: that is counted, and the body parsed only where texts that hold
    brackets upset the count.
    """
    body = response.body
    ends = body[:_LOOKED_AT].lstrip()[:1] + body[-_LOOKED_AT:].rstrip()[-1:]
    if ends in (b"{}", b"[]") and all(body.count(o) == body.count(c) for o, c in _BRACKETS):
        return True
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def expecting_json(judge: Judge) -> Judge:
    """The same, and an answer of 200 that is no JSON is asked for again: something between spoke in
    the place of the service, in plain words or by half."""

    def judged(response: Response) -> Hitch | None:
        hitch = judge(response)
        return (
            "busy" if hitch is None and response.status == 200 and not is_json(response) else hitch
        )

    return judged


def asked_wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that Retry-After asks for (a number or a date); None = it says nothing."""
    header = headers.get("Retry-After", "").strip()
    if header.isascii() and header.isdigit():
        return float(header)
    until = instant_of(header)
    return None if until is None else max(0.0, (until - now).total_seconds())
