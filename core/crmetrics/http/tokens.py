"""Access tokens: fetched when needed, renewed once when they expire, shared by all threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from crmetrics.secrets import Secret


class Tokens:
    """The access token of a session.

    fetch: gets a new token from the service, and raises SourceError or ConfigError when there is
    none to be had. It is called for the first request and once for each token that a 401 refuses,
    however many threads meet the refusal. A token that was refused before it ever worked is not
    renewed again: a fresh one would be refused too.
    """

    def __init__(
        self,
        fetch: Callable[[], Secret],
        *,
        header: str = "Authorization",
        scheme: str = "Bearer",
    ) -> None:
        self._fetch = fetch
        self._header = header
        self._scheme = scheme
        self._lock = threading.Lock()
        self._current: Secret | None = None
        self._has_worked = False
        self.renewals = 0
        """How often a refused token was replaced."""

    def current(self) -> Secret:
        """The token to send; fetched when there is none."""
        with self._lock:
            if self._current is None:
                self._current = self._fetch()
            return self._current

    def headers(self, token: Secret) -> Mapping[str, str]:
        return {self._header: f"{self._scheme} {token.reveal()}".strip()}

    def accepted(self, token: Secret) -> None:
        """The service took this token."""
        if not self._has_worked and token is self._current:
            self._has_worked = True

    def renew(self, refused: Secret) -> Secret | None:
        """The token to go on with after this one was refused; None when there is no hope."""
        with self._lock:
            if self._current is not None and self._current is not refused:
                return self._current  # another thread was quicker
            if self.renewals and not self._has_worked:
                return None
            self._current = self._fetch()
            self._has_worked = False
            self.renewals += 1
            return self._current


def fixed(token: Secret, *, header: str = "Authorization", scheme: str = "Bearer") -> _Fixed:
    """A token that was given ready-made and cannot be renewed."""
    return _Fixed(lambda: token, header=header, scheme=scheme)


class _Fixed(Tokens):
    def renew(self, refused: Secret) -> Secret | None:
        current = self.current()
        return None if current is refused else current
