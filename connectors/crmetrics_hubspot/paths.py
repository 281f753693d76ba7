"""Where each API lives, from one setting.

HubSpot versions its APIs by date; the generation before (v1 to v4) puts the version elsewhere in
the path and ends in 2027. Every path of the connector comes from this table.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from crmetrics.plugin import ConfigError

DEFAULT_VERSION = "2026-09"
_DATED = re.compile(r"\d{4}-(03|09)\Z")

_AREAS: dict[str, tuple[str, str]] = {
    # area: (dated path, path of v3)
    "objects": ("/crm/objects/{}", "/crm/v3/objects"),
    "associations": ("/crm/associations/{}", "/crm/v4/associations"),
    "properties": ("/crm/properties/{}", "/crm/v3/properties"),
    "pipelines": ("/crm/pipelines/{}", "/crm/v3/pipelines"),
    "owners": ("/crm/owners/{}", "/crm/v3/owners"),
    "schemas": ("/crm-object-schemas/{}/schemas", "/crm/v3/schemas"),
    "campaigns": ("/marketing/campaigns/{}", "/marketing/v3/campaigns"),
    "account": ("/account-info/{}", "/account-info/v3"),
    "currencies": ("/settings/currencies/{}", "/settings/v3/currencies"),
    "conversations": ("/conversations/conversations/{}", "/conversations/v3/conversations"),
    "emails": ("/marketing/emails/{}", "/marketing/v3/emails"),
    # The log of e-mail events has one path in both generations, and no successor is announced:
    # HubSpot supports v1 until September 2027.
    "email_events": ("/email/public/v1/events", "/email/public/v1/events"),
    "email_campaigns": ("/email/public/v1/campaigns", "/email/public/v1/campaigns"),
    "oauth": ("/oauth/{}", "/oauth/v1"),
}


def require_version(version: str) -> str:
    """The version itself when it is a date such as 2026-09, or v3.

    Raises ConfigError otherwise.
    """
    if version == "v3" or _DATED.match(version):
        return version
    raise ConfigError(
        f"api_version: expected a HubSpot version such as {DEFAULT_VERSION} (March or September), "
        f"or v3 until its end in September 2027, found {version!r}."
    )


def path(version: str, area: str, *rest: str) -> str:
    """The path of an area in this version, and below it: `path("2026-09", "objects", "deals")`."""
    dated, old = _AREAS[area]
    root = old if version == "v3" else dated.format(version)
    return "/".join([root, *(quote(part, safe="") for part in rest)])
