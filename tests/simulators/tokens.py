"""Access tokens of a simulated service: who holds one, and when it stops working."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field


@dataclass
class Grant:
    """What a token stands for. calls_left: it dies after this number of calls; None = never."""

    token: str
    user: str = ""
    scopes: frozenset[str] = field(default_factory=frozenset)
    calls_left: int | None = None


class Tokens:
    """The live tokens of a service."""

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}
        self._numbers = itertools.count(1)
        self.issued = 0

    def issue(
        self,
        user: str = "",
        *,
        token: str = "",
        scopes: frozenset[str] = frozenset(),
        calls: int | None = None,
    ) -> str:
        """A new token (or this one). calls: how many calls it is good for."""
        self.issued += 1
        name = token or f"simulated-token-{next(self._numbers):04d}"
        self._grants[name] = Grant(name, user, scopes, calls)
        return name

    def use(self, token: str) -> Grant | None:
        """The grant behind a token, one call used up; None = no such token, or no longer."""
        grant = self._grants.get(token)
        if grant is None:
            return None
        if grant.calls_left is not None:
            if grant.calls_left <= 0:
                self.revoke(token)
                return None
            grant.calls_left -= 1
        return grant

    def revoke(self, token: str) -> None:
        self._grants.pop(token, None)

    def revoke_all(self) -> None:
        self._grants.clear()

    @property
    def live(self) -> list[str]:
        return list(self._grants)
