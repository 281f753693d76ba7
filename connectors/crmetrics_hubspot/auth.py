"""Signing in: a static bearer token, or an OAuth app's access tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from crmetrics.plugin import Secret, SourceError, SourceStorage, http
from crmetrics_hubspot.options import HubSpotAuth

_MARGIN = timedelta(seconds=90)
"""An access token is renewed this long before its end: a 401 alone tells too little."""

_DOCUMENT = "refresh_token"
_HELP = (
    "Check client_id, client_secret and refresh_token of the source; a refresh token ends when the "
    "app is uninstalled or its scopes change. Then authorise the app again."
)

Send = Callable[[dict[str, str]], http.Response]
"""Sends the form to HubSpot's token endpoint."""


def tokens_for(
    auth: HubSpotAuth, send: Send, now: Callable[[], datetime], storage: SourceStorage
) -> http.Tokens:
    """The tokens of a session. storage: keeps a refresh token that took the place of ours."""
    if auth.uses_refresh:
        return RefreshedTokens(auth, send, now, storage)
    assert auth.token is not None  # the options require one or the other
    return http.fixed(auth.token)


class RefreshedTokens(http.Tokens):
    """Access tokens from a refresh token, renewed shortly before they end.

    scopes: what the app was granted; known once there is a token.
    """

    def __init__(
        self,
        auth: HubSpotAuth,
        send: Send,
        now: Callable[[], datetime],
        storage: SourceStorage,
    ) -> None:
        super().__init__(self._granted)
        self._auth, self._send, self._now, self._storage = auth, send, now, storage
        self._given = auth.refresh_token or Secret("")
        self._ends: datetime | None = None
        self.scopes: frozenset[str] = frozenset()

    def current(self) -> Secret:
        token = super().current()
        if self._ends is not None and self._now() >= self._ends - _MARGIN:
            return self.renew(token) or token
        return token

    def _granted(self) -> Secret:
        # Two processes must not spend one refresh token: the second takes what the first was given.
        with self._storage.exclusive(_DOCUMENT):
            return self._asked(self._refresh_token())

    def _refresh_token(self) -> Secret:
        """The latest token that followed the one of the project file."""
        kept = self._storage.read(_DOCUMENT)
        if kept.get("of") == _fingerprint(self._given) and kept.get("refresh_token"):
            return Secret(str(kept["refresh_token"]))
        return self._given

    def _asked(self, refresh_token: Secret) -> Secret:
        assert self._auth.client_secret is not None
        form = {
            "grant_type": "refresh_token",
            "client_id": self._auth.client_id or "",
            "client_secret": self._auth.client_secret.reveal(),
            "refresh_token": refresh_token.reveal(),
        }
        with self._send(form) as answer:
            if not answer.is_ok:
                raise SourceError(
                    f"HubSpot refused to renew the access token ({answer.status}): "
                    f"{answer.excerpt() or 'no reason given'}. {_HELP}"
                )
            return self._taken(answer.json(), refresh_token)

    def _taken(self, given: Any, spent: Secret) -> Secret:
        token, seconds = given.get("access_token"), given.get("expires_in")
        if not token or not isinstance(seconds, int | float):
            raise SourceError("HubSpot's answer to the token request holds no access token.")
        self._ends = self._now() + timedelta(seconds=seconds)
        self.scopes = frozenset(given.get("scopes") or ())
        rotated = given.get("refresh_token")
        if rotated and rotated != spent.reveal():
            Secret(rotated)  # from now on it is masked wherever it might show
            document = {"of": _fingerprint(self._given), "refresh_token": rotated}
            self._storage.write(_DOCUMENT, document)
        return Secret(token)


def _fingerprint(token: Secret) -> str:
    """Tells whether the project file still holds the token that a kept one followed."""
    return hashlib.sha256(token.reveal().encode()).hexdigest()[:16]
