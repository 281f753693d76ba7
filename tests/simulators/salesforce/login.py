"""The token endpoint: three grants, their refusals, and refresh tokens that rotate."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulators.messages import Answer, Call
from simulators.service import route

if TYPE_CHECKING:
    from simulators.salesforce.server import SalesforceSimulator

_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LONGEST_ASSERTION_S = 300


@dataclass
class App:
    """An external client app. public_key: PEM of the certificate for the JWT flow.

    rotates: every exchange of a refresh token gives a new one and ends the old one. lives_for:
    a token dies after this number of calls; None = never.
    """

    client_id: str = "3MVG9simulatedConsumerKey"
    client_secret: str = "simulatedConsumerSecret0001"
    run_as: str = "integration@acme.example"
    public_key: str = ""
    refresh_tokens: set[str] = field(default_factory=lambda: {"5Aep861simulatedRefresh0001"})
    rotates: bool = False
    scopes: frozenset[str] = frozenset({"api", "refresh_token"})
    lives_for: int | None = None


class Login:
    """Serves `/services/oauth2/token` on the login host and on the My Domain host."""

    def __init__(self, simulator: SalesforceSimulator) -> None:
        self.simulator = simulator
        self.app = App()
        self._numbers = itertools.count(2)

    @route("POST", "/services/oauth2/token")
    def token(self, call: Call) -> Answer:
        if call.content_type != "application/x-www-form-urlencoded":
            return _refused("invalid_request", "invalid content type", 415)
        try:
            form = call.form
        except UnicodeDecodeError:
            return _refused("invalid_request", "unreadable form")
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            return self._client_credentials(call, form)
        if grant == "refresh_token":
            return self._refresh(call, form)
        if grant == _JWT_GRANT:
            return self._jwt(form)
        return _refused("unsupported_grant_type", "grant type not supported")

    def _client_credentials(self, call: Call, form: dict[str, str]) -> Answer:
        if self.simulator.is_login_host(call):
            return _refused("invalid_grant", "request not supported on this domain")
        refusal = self._wrong_client(call, form)
        return refusal or self._granted()

    def _refresh(self, call: Call, form: dict[str, str]) -> Answer:
        refusal = self._wrong_client(call, form)
        if refusal:
            return refusal
        given = form.get("refresh_token", "")
        if given not in self.app.refresh_tokens:
            return _refused("invalid_grant", "expired access/refresh token")
        if not self.app.rotates:
            return self._granted()
        renewed = f"5Aep861simulatedRefresh{next(self._numbers):04d}"
        self.app.refresh_tokens.remove(given)
        self.app.refresh_tokens.add(renewed)
        return self._granted(refresh_token=renewed)

    def _wrong_client(self, call: Call, form: dict[str, str]) -> Answer | None:
        client_id, secret = _basic(call) or (
            form.get("client_id", ""),
            form.get("client_secret", ""),
        )
        if client_id != self.app.client_id:
            return _refused("invalid_client_id", "client identifier invalid")
        if secret != self.app.client_secret:
            return _refused("invalid_client", "invalid client credentials")
        return None

    def _jwt(self, form: dict[str, str]) -> Answer:
        import jwt

        audiences = [
            "https://login.salesforce.com",
            "https://test.salesforce.com",
            self.simulator.base_url,
            self.simulator.login_url,
        ]
        try:
            claims = jwt.decode(
                form.get("assertion", ""),
                self.app.public_key,
                algorithms=["RS256"],
                audience=audiences,
                # The simulated clock decides, not this machine's.
                options={"require": ["exp", "iss", "sub", "aud"], "verify_exp": False,
                         "verify_iat": False, "verify_nbf": False},
            )  # fmt: skip
        except jwt.InvalidAudienceError:
            return _refused("invalid_grant", "Audience validation failed")
        except jwt.PyJWTError:
            return _refused("invalid_grant", "invalid assertion")
        left_s = claims["exp"] - self.simulator.clock().timestamp()
        if not 0 < left_s <= _LONGEST_ASSERTION_S:
            return _refused("invalid_grant", "assertion is not within the validity period")
        if claims["iss"] != self.app.client_id:
            return _refused("invalid_client_id", "client identifier invalid")
        if claims["sub"] != self.app.run_as:
            return _refused("invalid_grant", "user hasn't approved this consumer")
        return self._granted()

    def _granted(self, **more: str) -> Answer:
        simulator = self.simulator
        token = simulator.issue(calls=self.app.lives_for, scopes=self.app.scopes)
        issued = int(simulator.clock().timestamp() * 1000)
        body: dict[str, Any] = {
            "access_token": token,
            "signature": "c2ltdWxhdGVk",
            "scope": " ".join(sorted(self.app.scopes)),
            "instance_url": simulator.base_url,
            "id": f"https://login.salesforce.com/id/{simulator.org.id}/{simulator.org.user}",
            "token_type": "Bearer",
            "issued_at": str(issued),
            **more,
        }
        return Answer.json(body)


def _refused(error: str, description: str, status: int = 400) -> Answer:
    return Answer.json({"error": error, "error_description": description}, status)


def _basic(call: Call) -> tuple[str, str] | None:
    kind, _, value = call.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    user, _, secret = base64.b64decode(value).decode().partition(":")
    return user, secret
