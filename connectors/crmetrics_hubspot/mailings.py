"""Marketing e-mails, as far as they say to which campaign a send belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crmetrics.plugin import SourceStorage
from crmetrics_hubspot.api import HubSpotApi, MissingScopeError, UnavailableError
from crmetrics_hubspot.email_log import legacy_pages

OWN = "email-"
"""How the id of an e-mail begins that is a campaign itself."""

_PAGE = 100
_SYSTEM = ("MEMBERSHIP_", "OPTIN_", "RESUBSCRIBE_", "MANAGE_PREFERENCES_", "TICKET_",
           "SINGLE_SEND_API", "SMTP_TOKEN")  # fmt: skip
"""How the types of e-mails begin that answer what a person did: passwords, receipts, tickets."""


@dataclass(frozen=True, slots=True)
class Mailing:
    """A marketing e-mail, or what the log alone knows of one.

    campaign: the id in the dataset `campaigns`: of the marketing campaign, or its own. log_ids:
    what the log calls it, one per variant or sending. is_campaign: it stands in `campaigns` itself.
    is_system: it answers what a person did, and is no campaign at all. is_unknown: nobody says
    whether it is one. is_listed: not known from the log alone. began: when it was made.
    """

    campaign: str
    log_ids: tuple[str, ...]
    is_campaign: bool
    is_system: bool = False
    is_unknown: bool = False
    is_listed: bool = True
    name: str | None = None
    began: str | None = None
    published: str | None = None
    updated_at: str | None = None

    @property
    def place(self) -> str | None:
        """The campaign that its sends are of; empty = of none, None = nobody says."""
        if self.is_unknown:
            return None
        return "" if self.is_system else self.campaign


class LogTypes:
    """Types of e-mails that no list names, as the log of events tells them.

    Each is asked for once, and kept beside the warehouse: an e-mail that is gone changes no more.
    are_listed: whether the log tells its e-mails; not once HubSpot has ended it.
    """

    _NAME = "email-types"

    def __init__(self, api: HubSpotApi, storage: SourceStorage, portal: str | None) -> None:
        self._api, self._storage, self._portal = api, storage, portal
        kept = storage.read(self._NAME)
        is_ours = kept.get("portal") == portal
        self._known: dict[str, str] = dict(kept.get("types") or {}) if is_ours else {}
        self._saved = len(self._known)
        self._is_refused = False
        self.are_listed = True

    def of(self, log_id: str) -> str:
        """The type in HubSpot's words; empty where it does not say one."""
        if log_id not in self._known and not self._is_refused:
            try:
                told = self._api.json("email_campaigns", log_id)
                self._known[log_id] = str(told.get("type") or "")
            except MissingScopeError:
                self._is_refused = True
            except UnavailableError:
                self._known[log_id] = ""
        return self._known.get(log_id, "")

    def save(self) -> None:
        if len(self._known) > self._saved:
            document = {"portal": self._portal, "types": self._known}
            self._storage.write(self._NAME, document)
            self._saved = len(self._known)


def read_mailings(api: HubSpotApi, types: LogTypes) -> Sequence[Mailing]:
    """All marketing e-mails that were sent, archived ones too, and what only the log knows.

    Without statistics: with them HubSpot leaves some out. Raises MissingScopeError,
    UnavailableError.
    """
    listed = [
        mailing
        for archived in ("false", "true")
        for item in api.items("emails", params={"limit": str(_PAGE), "archived": archived})
        if (mailing := _mailing(item)).log_ids
    ]
    known = {name for mailing in listed for name in mailing.log_ids}
    others = dict.fromkeys(name for name in _log_ids(api, types) if name not in known)
    try:
        return [*listed, *(own_mailing(name, types.of(name)) for name in others)]
    finally:
        types.save()


def _log_ids(api: HubSpotApi, types: LogTypes) -> Iterator[str]:
    """What the log knows of e-mails; nothing once HubSpot has ended it."""
    try:
        for page, _ in legacy_pages(api, "email_campaigns", "by-id", of="campaigns", params={}):
            yield from (str(item["id"]) for item in page if item.get("id"))
    except (MissingScopeError, UnavailableError):
        types.are_listed = False


def own_mailing(log_id: str, kind: str) -> Mailing:
    """An e-mail that HubSpot does not list: a campaign of its own, as far as its type says so."""
    is_system = kind.startswith(_SYSTEM)
    return Mailing(
        f"{OWN}{log_id}",
        (log_id,),
        is_campaign=not is_system,
        is_system=is_system,
        is_unknown=not kind,
        is_listed=False,
    )


def as_before(mailing: Mailing, campaigns: Mapping[str, str | None]) -> Mapping[str, Mailing]:
    """Log id -> the e-mail; one that HubSpot lists no longer stays what it was.

    campaigns: log id -> its place at the last read. What answers a person is no campaign, though it
    was taken for one.
    """
    former = campaigns.get(mailing.log_ids[0])
    if mailing.is_listed or mailing.is_system or former is None:
        return dict.fromkeys(mailing.log_ids, mailing)
    campaign = former or mailing.campaign
    kept = replace(mailing, campaign=campaign, is_system=not former, is_unknown=False)
    return dict.fromkeys(mailing.log_ids, kept)


def _mailing(item: Mapping[str, Any]) -> Mailing:
    ids = [
        item.get("primaryEmailCampaignId"),
        *sorted(item.get("allEmailCampaignIds") or (), key=str),
    ]
    names = tuple(dict.fromkeys(str(name) for name in ids if name))
    campaign = str(item.get("campaign") or "")
    is_system = bool(item.get("isTransactional")) or str(item.get("type")).startswith(_SYSTEM)
    return Mailing(
        # The log's own number outlives the e-mail.
        campaign or f"{OWN}{names[0] if names else item['id']}",
        names,
        is_campaign=not campaign and not is_system,
        is_system=is_system,
        name=item.get("name"),
        began=item.get("createdAt"),
        published=item.get("publishedAt") or item.get("publishDate"),
        updated_at=item.get("updatedAt"),
    )
