"""What properties an object has in this account: looked up once, never guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crmetrics_hubspot.api import HubSpotApi


@dataclass(frozen=True, slots=True)
class PropertyInfo:
    """A property: its type and the field that people fill, as HubSpot names them, and whether it is
    marked as sensitive."""

    name: str
    type: str
    field_type: str = ""
    is_sensitive: bool = False


class Properties:
    """The properties of the account's objects, fetched on first use."""

    def __init__(self, api: HubSpotApi) -> None:
        self._api = api
        self._known: dict[str, Mapping[str, PropertyInfo]] = {}

    def of(self, kind: str) -> Mapping[str, PropertyInfo]:
        """Name -> property of an object type.

        Raises MissingScopeError, UnavailableError.
        """
        if kind not in self._known:
            found = json.loads(self._api.get("properties", kind)).get("results", ())
            self._known[kind] = {item["name"]: _info(item) for item in found}
        return self._known[kind]


def _info(item: Mapping[str, Any]) -> PropertyInfo:
    return PropertyInfo(
        item["name"],
        item.get("type", "string"),
        item.get("fieldType", ""),
        item.get("dataSensitivity", "non_sensitive") != "non_sensitive",
    )


def stage_date(known: Mapping[str, PropertyInfo], stage: str) -> str | None:
    """The property with the entry into a stage; None = the account has none.

    Names end in the stage's id, which custom stages write with `_` for other characters and a hash
    behind it. The second generation (`hs_v2_`) comes before the first.
    """
    plain = re.sub(r"[^0-9a-z_]", "_", stage.lower())
    for start in ("hs_v2_date_entered_", "hs_date_entered_"):
        exact = f"{start}{plain}"
        if exact in known:
            return exact
        hashed = re.compile(rf"{re.escape(exact)}_\d+\Z")
        for name in sorted(known):
            if hashed.match(name):
                return name
    lifecycle = f"hs_lifecyclestage_{plain}_date"
    return lifecycle if lifecycle in known else None


def unknown(names: Iterable[str], known: Mapping[str, PropertyInfo]) -> list[str]:
    return [name for name in names if name not in known]
