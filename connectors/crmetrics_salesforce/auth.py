"""Getting an access token: four flows, one endpoint."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crmetrics.plugin import ConnectorContext, Secret, SourceError, http, redact
from crmetrics_salesforce.answers import Granted, parsed
from crmetrics_salesforce.errors import SetupError
from crmetrics_salesforce.options import (
    AccessToken,
    ClientCredentials,
    JwtBearer,
    RefreshToken,
    SalesforceOptions,
)

_ASSERTION_S = 180  # up to 300 are allowed; clocks differ
_STORED = "refresh_token"
_ORG_OF_USER = re.compile(r"/id/(00D\w{12})(?:\w{3})?/")
_ORG_OF_TOKEN = re.compile(r"^(00D\w{12})(?:\w{3})?!")

_MEANINGS = {
    "request not supported on this domain": "Give the org's My Domain host as `domain:`.",
    "invalid client credentials": "Check client_id and client_secret.",
    "client identifier invalid": "Check client_id: it is the app's consumer key.",
    "expired access/refresh token": "The refresh token was revoked or rotated away: have a user "
    "consent again and set the new refresh_token.",
    "user hasn't approved this consumer": "Check username, and pre-authorise the user for the app "
    "(its policies, permitted users).",
    "audience validation failed": "Set `audience:`: https://test.salesforce.com for a sandbox, "
    "else https://login.salesforce.com.",
    "not within the validity period": "The clock of this machine is wrong by minutes: correct it.",
    "authentication failure": "Check the user and the app's policies (IP ranges, permitted users).",
    "no client credentials user enabled": "Set the run-as user of the app's client credentials "
    "flow.",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A token, the address of the org it is for, and the org's id; empty when nothing tells it."""

    token: Secret
    instance_url: str
    org: str = ""


class Login:
    """Gets a grant whenever it is asked for one.

    Every refusal is a SourceError that says what to correct; none is tried again.
    """

    def __init__(
        self,
        options: SalesforceOptions,
        context: ConnectorContext,
        session: http.Session,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._now_s = now_s
        self._options = options
        self._context = context
        self._session = session

    def grant(self) -> Grant:
        auth = self._options.auth
        if isinstance(auth, AccessToken):
            # A session id begins with the org's.
            org = _org_in(_ORG_OF_TOKEN, auth.access_token.reveal())
            return Grant(auth.access_token, self._options.host_url, org)
        if isinstance(auth, RefreshToken):
            # Two exchanges of one refresh token at a time: one of them fails.
            with self._context.storage.exclusive(_STORED):
                return self._refreshed(auth)
        if isinstance(auth, JwtBearer):
            return self._granted(self._ask(self._assertion(auth)))
        return self._granted(self._ask(_client_form(auth)))

    def _refreshed(self, auth: RefreshToken) -> Grant:
        storage = self._context.storage
        configured = hashlib.sha256(auth.refresh_token.reveal().encode()).hexdigest()
        kept = storage.read(_STORED)
        token = auth.refresh_token
        if kept.get("replaces") == configured and kept.get("token"):
            token = Secret(str(kept["token"]))
        form = {
            "grant_type": "refresh_token",
            "client_id": auth.client_id.reveal(),
            "refresh_token": token.reveal(),
        }
        if auth.client_secret is not None:
            form["client_secret"] = auth.client_secret.reveal()
        answer = self._ask(form)
        renewed = answer.refresh_token
        if renewed and renewed != token.reveal():
            Secret(renewed)  # known from now on, so that it is masked wherever it shows up
            # Before anything is done with the answer: the old token is dead already.
            storage.write(_STORED, {"replaces": configured, "token": renewed})
        return self._granted(answer)

    def _assertion(self, auth: JwtBearer) -> dict[str, str]:
        try:
            import jwt
        except ImportError:
            raise SetupError(
                "the flow jwt_bearer needs a package that signs: pip install "
                "'crmetrics[salesforce-jwt]'.",
                "Install 'crmetrics[salesforce-jwt]'.",
            ) from None
        default = "https://test.salesforce.com"
        if not self._options.is_sandbox:
            default = "https://login.salesforce.com"
        claims = {
            "iss": auth.client_id.reveal(),
            "sub": auth.username,
            "aud": auth.audience or default,
            "exp": int(self._now_s()) + _ASSERTION_S,
        }
        failure = ""
        try:
            assertion = jwt.encode(claims, self._private_key(auth).reveal(), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as exc:
            failure = type(exc).__name__
        if failure:
            raise SetupError(
                f"the private key cannot be used ({failure}). Expected a PEM of an RSA key, "
                "the one whose certificate is registered in the app.",
                "Correct the key under `auth:` (`private_key:`, `private_key_file:`).",
            )
        Secret(assertion)
        return {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": assertion,
        }

    def _private_key(self, auth: JwtBearer) -> Secret:
        if auth.private_key is not None:
            # In a variable, line breaks are often written as \n.
            return Secret(auth.private_key.reveal().replace("\\n", "\n"))
        file = Path(self._context.project_dir, str(auth.private_key_file))
        try:
            return Secret(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as exc:
            reason = getattr(exc, "strerror", None) or "it is no text"
        raise SetupError(
            f"the private key file {file} cannot be read: {reason}.",
            "Correct `private_key_file:`, or let the user that runs crmetrics read that file.",
        )

    def _ask(self, form: dict[str, str]) -> Granted:
        """The answer of the token endpoint. Raises SourceError for a refusal."""
        url = f"{self._options.host_url}/services/oauth2/token"
        with self._session.request(
            "POST", url, form=form, is_idempotent=True, is_whole=True
        ) as response:
            if response.is_ok:
                # Nothing of it may be shown: it holds what is secret, under whatever name.
                return parsed(Granted, response, url, is_secret=True)
            raise _refusal(http.origin(url), response)

    def _granted(self, answer: Granted) -> Grant:
        token = Secret(answer.access_token)
        # A proxy or test server stands in for the instance as well.
        instance = self._options.base_url or answer.instance_url
        url = http.require_safe(instance or self._options.host_url).rstrip("/")
        return Grant(token, url, _org_in(_ORG_OF_USER, answer.id))


def _org_in(pattern: re.Pattern[str], text: str) -> str:
    """The 15 characters of an org's id; the other three of the long form only repeat them."""
    found = pattern.search(text)
    return found[1] if found else ""


def _client_form(auth: ClientCredentials) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": auth.client_id.reveal(),
        "client_secret": auth.client_secret.reveal(),
    }


def _refusal(place: str, response: http.Response) -> SourceError:
    try:
        answer = response.json()
    except http.HttpError:
        answer = None
    if not isinstance(answer, dict) or "error" not in answer:
        shown = response.excerpt() or "no body"
        return SourceError(
            f"{place} refused to log in with {response.status}: {shown}. Check `domain:`."
        )
    said = redact(f"{answer['error']}: {answer.get('error_description', '')}".rstrip(": "))
    hint = next((way for text, way in _MEANINGS.items() if text in said.lower()), "")
    return SourceError(
        f"{place} refused to log in: {said}. {hint or 'Check auth: in the project file.'}"
    )
