"""The HTTP face of a simulated account: tokens, scopes, limits, and the endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote

from simulators.hubspot.account import Account
from simulators.hubspot.crm import CrmEndpoints
from simulators.hubspot.errors import Refusal, error, missing_scopes, not_found, unauthenticated
from simulators.hubspot.limits import Limits
from simulators.hubspot.marketing import MarketingEndpoints
from simulators.hubspot.paths import is_old, resolve
from simulators.hubspot.search import SearchIndex
from simulators.hubspot.settings import SettingsEndpoints
from simulators.messages import Answer, Call
from simulators.service import Clock, Service

LONGEST_URL = 8_000
VERSIONS = ("2026-09", "2026-03", "2025-09")
_AREA_SCOPES = {
    "owners": "crm.objects.owners.read",
    "campaigns": "marketing.campaigns.read",
    "emails": "content",
    "email_events": "content",
    "email_campaigns": "content",
    "currencies": "multi-currency-read",
    "conversations": "conversations.read",
}
ALL_SCOPES = frozenset(
    {
        *_AREA_SCOPES.values(),
        *(store.scope for store in Account(Clock()).objects.values()),
        "account-info.security.read",
        "crm.schemas.custom.read",
        "crm.objects.custom.read",
        "oauth",
    }
)


@dataclass(frozen=True)
class _Grant:
    scopes: frozenset[str]
    ends: datetime | None = None


class HubSpotSimulator(Service):
    """One account behind HubSpot's API.

    token: a static bearer token with every scope. client_id, client_secret, refresh_token: of an
    OAuth app; its access tokens live half an hour. serves_old: the old paths answer too.
    """

    def __init__(self, *, clock: Clock | None = None, limits: Limits | None = None) -> None:
        super().__init__(clock=clock)
        self.account = Account(self.clock)
        self.index = SearchIndex()
        self.limits = limits or Limits()
        self.serves_old = True
        self.versions: tuple[str, ...] = VERSIONS
        self.client_id, self.client_secret = "app-0001", "simulated-client-secret"
        self.refresh_token = "na1-simulated-refresh-token"
        self.token_life = timedelta(minutes=30)
        self.rotates_refresh_token = False
        self._grants: dict[str, _Grant] = {}
        self._refreshes = 0
        self.token = self.grant("pat-na1-simulated-0001", ALL_SCOPES)
        self.app_scopes = ALL_SCOPES
        self.crm = CrmEndpoints(self.account, self.index)
        self.marketing = MarketingEndpoints(self.account)
        self.settings = SettingsEndpoints(self.account, self.limits)

    def grant(self, token: str, scopes: Iterable[str]) -> str:
        """A further static token with these scopes."""
        self._grants[token] = _Grant(frozenset(scopes))
        return token

    def end_access_tokens(self) -> None:
        """The access tokens of the OAuth app stop working before their time."""
        self._grants = {name: g for name, g in self._grants.items() if g.ends is None}

    # --- one call ----------------------------------------------------------------------------

    def handle(self, call: Call) -> Answer:
        if len(call.target) > LONGEST_URL:
            return Answer.html("414 Request-URI Too Large", 414)
        found = resolve(unquote(call.path))
        if found is None or not self._serves(*found[:2]):
            return error(404, "OBJECT_NOT_FOUND", f"no such API: {call.path}")
        area, _, rest = found
        is_search = area == "objects" and rest[1:] == ["search"]
        try:
            if area == "oauth":
                return self._refresh(call, rest)
            scopes = self._scopes_of(call)
            self.limits.take(self.clock, is_search=is_search)
            answer = self._dispatch(call, area, rest, scopes)
        except Refusal as refusal:
            answer = refusal.answer
        return answer if is_search else answer.with_headers(self.limits.headers())

    def _serves(self, area: str, version: str) -> bool:
        if area in ("email_events", "email_campaigns"):
            return not self.account.log.is_ended  # there is no dated path
        return self.serves_old if is_old(version) else version in self.versions

    def _dispatch(self, call: Call, area: str, rest: list[str], scopes: frozenset[str]) -> Answer:
        if area in _AREA_SCOPES:
            _require(scopes, _AREA_SCOPES[area])
        match area, rest:
            case "objects", [name, *more]:
                store = self.crm.store(name)
                _require(scopes, store.scope)
                return self.crm.objects(call, store, more)
            case "associations", [one, other, "batch", "read"] if call.method == "POST":
                stores = self.crm.store(one), self.crm.store(other)
                for store in stores:
                    _require(scopes, store.scope)
                return self.crm.associations(call, *stores)
            case "properties", [name]:
                store = self.crm.store(name)
                _require(scopes, store.scope)
                return self.settings.properties(call, store)
            case "pipelines", [name]:
                store = self.crm.store(name)
                _require(scopes, store.scope)
                return self.settings.pipelines(store)
            case "account", ["activity", "login" | "audit-logs" as kind]:
                _require(scopes, "account-info.security.read")
                return self.settings.activity(call, kind)
            case "email_events", [] if call.method == "GET":
                return self.account.log.events(call)
            case "email_campaigns", [name] if call.method == "GET":
                return self.account.log.answer(call, name)
            case "campaigns" | "emails" | "conversations", _:
                return self.marketing.answer(call, area, rest)
            case "owners" | "schemas" | "account" | "currencies", _:
                return self.settings.answer(call, area, rest)
        raise not_found()

    # --- tokens ------------------------------------------------------------------------------

    def _scopes_of(self, call: Call) -> frozenset[str]:
        grant = self._grants.get(call.bearer)
        if grant is None:
            raise unauthenticated()
        if grant.ends is not None and self.clock() >= grant.ends:
            raise unauthenticated("EXPIRED_AUTHENTICATION")
        return grant.scopes

    def _refresh(self, call: Call, rest: list[str]) -> Answer:
        if call.method != "POST" or rest != ["token"]:
            raise not_found()
        if call.content_type != "application/x-www-form-urlencoded":
            return error(415, "VALIDATION_ERROR", "Unsupported Media Type")
        given = {
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
        }
        if call.form.get("grant_type") != "refresh_token":
            return error(400, "BAD_GRANT_TYPE", "missing or unknown grant type")
        if any(call.form.get(name) != value for name, value in given.items()):
            return error(400, "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
        self._refreshes += 1
        ends = self.clock() + self.token_life
        token = f"simulated-access-token-{self._refreshes:04d}"
        # An older access token of the app stops working.
        self.end_access_tokens()
        self._grants[token] = _Grant(self.app_scopes, ends)
        if self.rotates_refresh_token:
            self.refresh_token = f"na1-simulated-refresh-token-{self._refreshes:04d}"
        return Answer.json(
            {
                "access_token": token,
                "refresh_token": self.refresh_token,
                "expires_in": int(self.token_life.total_seconds()),
                "token_type": "bearer",
                "hub_id": self.account.portal_id,
                "scopes": sorted(self.app_scopes),
                "user_id": 1,
                "token_use": "access_token",
            }
        )


def _require(scopes: frozenset[str], scope: str) -> None:
    if scope not in scopes:
        raise missing_scopes(scope)
