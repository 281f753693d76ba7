"""Faults on demand: what a service does to chosen calls.

    faults.answer(503, on="GET /query", times=3, headers={"Retry-After": "2"})
    faults.hang_up(on="/results", skip=1)            # the second page
    faults.truncate(0.5, on="/results")
    faults.before(merge_two_accounts, on="FROM Account", skip=1)

`on` is a regular expression for the line of the call (`GET /path?query`, decoded). A rule lets
`skip` calls through, then holds for `times` calls (None: all). Of the rules that change the answer
the first that fits is used; delays and actions all happen before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from simulators.messages import Answer, Call


def _nothing() -> None:
    """No prelude."""


def _unspoiled(answer: Answer) -> Answer:
    return answer


@dataclass
class Fault:
    """One rule. instead: the answer in place of the service's own, which then does not act."""

    on: str = ""
    times: int | None = 1
    skip: int = 0
    instead: Answer | None = None
    spoil: Callable[[Answer], Answer] = _unspoiled
    prelude: Callable[[], None] = _nothing
    delay_s: float = 0.0

    @property
    def changes_answer(self) -> bool:
        return self.instead is not None or self.spoil is not _unspoiled

    def fits(self, call: Call) -> bool:
        """Whether the rule holds for this call; counts it."""
        if self.times == 0 or not re.search(self.on, call.line):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Faults:
    """The rules of a service, in the order they were given."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    def clear(self) -> None:
        self._rules.clear()

    def answer(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        on: str = "",
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Answer with this; the service does nothing."""
        self.give(Answer(status, body, dict(headers or {})), on=on, times=times, skip=skip)

    def give(self, answer: Answer, *, on: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Answer with this; the service does nothing."""
        self._rules.append(Fault(on, times, skip, instead=answer))

    def html(
        self, status: int = 200, *, on: str = "", times: int | None = 1, skip: int = 0
    ) -> None:
        """A page of the edge or of a proxy in place of the answer."""
        page = Answer.html("<h1>Down for maintenance</h1>", status)
        self.give(page, on=on, times=times, skip=skip)

    def hang_up(
        self, *, on: str = "", times: int | None = 1, skip: int = 0, acts: bool = False
    ) -> None:
        """Close the connection without a byte. acts: the service does its work before."""
        if acts:
            self.spoil(lambda answer: Answer.hang_up(), on=on, times=times, skip=skip)
        else:
            self.give(Answer.hang_up(), on=on, times=times, skip=skip)

    def reset(self, *, on: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Reset the connection; the service does nothing."""
        self.give(Answer.reset(), on=on, times=times, skip=skip)

    def truncate(
        self, share: float = 0.5, *, on: str = "", times: int | None = 1, skip: int = 0
    ) -> None:
        """Cut the line after this share of the body."""
        self.spoil(lambda answer: replace(answer, sent_share=share), on=on, times=times, skip=skip)

    def silence(self, *, on: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Accept the call and never answer."""
        self.give(Answer.silence(), on=on, times=times, skip=skip)

    def delay(self, seconds: float, *, on: str = "", times: int | None = 1, skip: int = 0) -> None:
        """Let the clock of the service move on before it answers."""
        self._rules.append(Fault(on, times, skip, delay_s=seconds))

    def spoil(
        self,
        change: Callable[[Answer], Answer],
        *,
        on: str = "",
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Let the service answer, then change its answer (headers stripped, a count that lies)."""
        self._rules.append(Fault(on, times, skip, spoil=change))

    def before(
        self,
        action: Callable[[], None],
        *,
        on: str = "",
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Run this before the service answers: records change between two pages, a token dies."""
        self._rules.append(Fault(on, times, skip, prelude=action))

    def take(self, call: Call) -> list[Fault]:
        """What befalls this call, each used up by one; at most the last changes the answer."""
        found = []
        for rule in self._rules:
            if not rule.fits(call):
                continue
            found.append(rule)
            if rule.changes_answer:
                break
        return found
