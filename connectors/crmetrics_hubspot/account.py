"""What is looked up once about an account: currency, owners, teams, pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crmetrics.plugin import SourceStorage
from crmetrics_hubspot.api import HubSpotApi, MissingScopeError, UnavailableError
from crmetrics_hubspot.mailings import LogTypes, Mailing, read_mailings
from crmetrics_hubspot.options import HubSpotOptions
from crmetrics_hubspot.pipelines import Pipelines, read_pipelines
from crmetrics_hubspot.properties import Properties

_OWNERS_PAGE = 500
_CAMPAIGNS_PAGE = 100


@dataclass(frozen=True, slots=True)
class OwnerInfo:
    """An owner. team: (id, name) of the primary team; user_id: of the person, also when left."""

    id: str
    user_id: str | None
    team: tuple[str, str] | None
    is_person: bool
    is_archived: bool
    email_domain: str
    created_at: str | None
    updated_at: str | None


class Account:
    """One account, looked up piece by piece when a dataset needs it."""

    def __init__(self, api: HubSpotApi, config: HubSpotOptions, storage: SourceStorage) -> None:
        self.api = api
        self.config = config
        self._storage = storage
        self.properties = Properties(api)
        self._pipelines: dict[str, Pipelines] = {}

    @cached_property
    def details(self) -> Mapping[str, Any]:
        """Portal, currency and time zone."""
        found: Mapping[str, Any] = self.api.json("account", "details")
        return found

    @cached_property
    def portal(self) -> str | None:
        """The account's number; None where HubSpot does not tell it to this token."""
        try:
            told = self.details.get("portalId")
        except (MissingScopeError, UnavailableError):
            return None
        return None if told is None else str(told)

    @property
    def currency(self) -> str:
        """The company currency."""
        return str(self.details.get("companyCurrency") or "")

    @cached_property
    def zone(self) -> ZoneInfo:
        """The account's time zone."""
        try:
            return ZoneInfo(str(self.details.get("timeZone") or "UTC"))
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")

    def pipelines(self, kind: str) -> Pipelines:
        if kind not in self._pipelines:
            self._pipelines[kind] = read_pipelines(self.api, kind)
        return self._pipelines[kind]

    def reaches(self, kind: str) -> bool:
        """Whether the token may read objects of this type, and the account has them."""
        try:
            self.properties.of(kind)
        except (MissingScopeError, UnavailableError):
            return False
        return True

    @cached_property
    def reaches_owners(self) -> bool:
        """Whether the token may read owners."""
        try:
            return self.owners is not None
        except MissingScopeError:
            return False

    @cached_property
    def reaches_campaigns(self) -> bool:
        """Whether the token may read campaigns, and the account has them."""
        try:
            return self._campaigns is not None
        except (MissingScopeError, UnavailableError):
            return False

    @cached_property
    def _campaigns(self) -> Sequence[str]:
        """The ids of all campaigns. Raises MissingScopeError, UnavailableError."""
        params = {"limit": str(_CAMPAIGNS_PAGE)}
        return [str(item["id"]) for item in self.api.items("campaigns", params=params)]

    @cached_property
    def first_touches(self) -> Mapping[str, str | None]:
        """Contact -> the campaign of its first touch, as HubSpot counts it, of all times.

        None where it is several campaigns': assets can belong to more than one.
        """
        found: dict[str, str | None] = {}
        params = {"limit": str(_CAMPAIGNS_PAGE)}
        for name in self._campaigns:
            place = ("campaigns", name, "reports", "contacts", "contactFirstTouch")
            try:
                for item in self.api.items(*place, params=params):
                    contact = str(item["id"])
                    found[contact] = name if found.get(contact, name) == name else None
            except UnavailableError:
                continue  # the campaign was deleted meanwhile
        return found

    @cached_property
    def mailings(self) -> Sequence[Mailing]:
        """Marketing e-mails. Raises MissingScopeError, UnavailableError."""
        return read_mailings(self.api, self.log_types)

    @cached_property
    def log_types(self) -> LogTypes:
        """Types of the e-mails that are not among `mailings` by a list."""
        return LogTypes(self.api, self._storage, self.portal)

    # --- people --------------------------------------------------------------------------------

    @cached_property
    def owners(self) -> Sequence[OwnerInfo]:
        """All owners, those who left too: closed deals keep them. Raises MissingScopeError."""
        return [*self._owners(archived=False), *self._owners(archived=True)]

    def _owners(self, *, archived: bool) -> Iterator[OwnerInfo]:
        params = {"limit": str(_OWNERS_PAGE), "archived": "true" if archived else "false"}
        for item in self.api.items("owners", params=params):
            yield _owner(item, archived)

    @cached_property
    def teams(self) -> Mapping[str, str]:
        """Team id -> name, as far as owners tell."""
        return dict(owner.team for owner in reversed(self.owners) if owner.team)

    @cached_property
    def owner_of_user(self) -> Mapping[str, str]:
        """User id -> owner id; of one who left and came back, the owner of today."""
        return {owner.user_id: owner.id for owner in reversed(self.owners) if owner.user_id}

    def owner_or_user(self, owner: str | None, user: str | None) -> str | None:
        """Whose a target or forecast is; null = the whole company's. A user who is no owner keeps
        the user's id: what is a person's is never the company's."""
        if owner or user is None:
            return owner
        known = self.owner_of_user if self.reaches_owners else {}
        return known.get(user, user)


def _owner(item: Mapping[str, Any], archived: bool) -> OwnerInfo:
    teams = item.get("teams") or ()
    primary = next((team for team in teams if team.get("primary")), None)
    user = item.get("userId") or item.get("userIdIncludingInactive")
    return OwnerInfo(
        str(item["id"]),
        None if user is None else str(user),
        (str(primary["id"]), str(primary["name"])) if primary else None,
        item.get("type", "PERSON") == "PERSON",
        archived,
        str(item.get("email") or "").rpartition("@")[2].lower(),
        item.get("createdAt"),
        item.get("updatedAt"),
    )
