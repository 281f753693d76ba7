"""Marketing e-mails, as far as they say to which campaign a send belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
    is_system: it answers what a person did, and is no campaign at all. is_listed: not known from
    the log alone. began: when it was made.
    """

    campaign: str
    log_ids: tuple[str, ...]
    is_campaign: bool
    is_system: bool = False
    is_listed: bool = True
    name: str | None = None
    began: str | None = None
    published: str | None = None
    updated_at: str | None = None


def read_mailings(api: HubSpotApi) -> Sequence[Mailing]:
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
    others = dict.fromkeys(name for name in _log_ids(api) if name not in known)
    return [*listed, *map(own_mailing, others)]


def _log_ids(api: HubSpotApi) -> Iterator[str]:
    """What the log knows of e-mails; nothing once HubSpot has ended it."""
    try:
        for page, _ in legacy_pages(api, "email_campaigns", "by-id", of="campaigns", params={}):
            yield from (str(item["id"]) for item in page if item.get("id"))
    except (MissingScopeError, UnavailableError):
        return


def own_mailing(log_id: str) -> Mailing:
    """An e-mail that HubSpot does not list: a campaign of its own."""
    return Mailing(f"{OWN}{log_id}", (log_id,), is_campaign=True, is_listed=False)


def as_before(mailing: Mailing, campaigns: Mapping[str, str]) -> Mapping[str, Mailing]:
    """Log id -> the e-mail; one that HubSpot lists no longer stays what it was.

    campaigns: log id -> the campaign at the last read; empty where it was none at all.
    """
    if mailing.is_listed or mailing.log_ids[0] not in campaigns:
        return dict.fromkeys(mailing.log_ids, mailing)
    former = campaigns[mailing.log_ids[0]]
    kept = replace(mailing, campaign=former or mailing.campaign, is_system=not former)
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
