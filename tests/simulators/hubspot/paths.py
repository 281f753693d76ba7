"""Where each API lives: the dated generation and the old one, which puts the version elsewhere."""

from __future__ import annotations

import re

DATED = r"(?P<version>\d{4}-\d{2})"

_AREAS: dict[str, tuple[str, str]] = {
    # area: (dated path, old path)
    "objects": (f"/crm/objects/{DATED}", "/crm/(?P<version>v3)/objects"),
    "associations": (f"/crm/associations/{DATED}", "/crm/(?P<version>v4)/associations"),
    "properties": (f"/crm/properties/{DATED}", "/crm/(?P<version>v3)/properties"),
    "pipelines": (f"/crm/pipelines/{DATED}", "/crm/(?P<version>v3)/pipelines"),
    "owners": (f"/crm/owners/{DATED}", "/crm/(?P<version>v3)/owners"),
    "schemas": (f"/crm-object-schemas/{DATED}/schemas", "/crm/(?P<version>v3)/schemas"),
    "campaigns": (f"/marketing/campaigns/{DATED}", "/marketing/(?P<version>v3)/campaigns"),
    "emails": (f"/marketing/emails/{DATED}", "/marketing/(?P<version>v3)/emails"),
    "account": (f"/account-info/{DATED}", "/account-info/(?P<version>v3)"),
    "currencies": (f"/settings/currencies/{DATED}", "/settings/(?P<version>v3)/currencies"),
    "conversations": (
        f"/conversations/conversations/{DATED}",
        "/conversations/(?P<version>v3)/conversations",
    ),
    "email_events": ("/email/public/(?P<version>v1)/events",) * 2,
    "email_campaigns": ("/email/public/(?P<version>v1)/campaigns",) * 2,
    "oauth": (f"/oauth/{DATED}", "/oauth/(?P<version>v1|v3)"),
}
_PATTERNS = [
    (area, re.compile(rf"{path}(?:/(?P<rest>.*?))?/?\Z"))
    for area, pair in _AREAS.items()
    for path in pair
]
_OLD = {"v1", "v3", "v4"}


def resolve(path: str) -> tuple[str, str, list[str]] | None:
    """(area, version, the rest as segments) of a path; None = there is no such API."""
    for area, pattern in _PATTERNS:
        match = pattern.match(path)
        if match:
            rest = match.group("rest")
            return area, match.group("version"), rest.split("/") if rest else []
    return None


def is_old(version: str) -> bool:
    return version in _OLD
