"""Which campaign a contact met first, as HubSpot attributes it: a list of contacts per campaign.

Neither contacts nor deals carry their campaign; the reports of the campaigns name the contacts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from crmetrics_hubspot.account import Account

FIELD = "first_touch_campaign"
"""A field that every mapping may read: of the contact, or of the associated contact."""


@dataclass
class FirstTouches:
    """The campaign of the first touch of contacts.

    A contact may be counted for several campaigns, whose assets are the same: then it has none.
    """

    account: Account
    doubtful: set[str] = field(default_factory=set)

    def of(self, contacts: Sequence[str | None]) -> Any:
        """A column of campaigns; null for a contact that came without one."""
        known = self.account.first_touches
        self.doubtful |= {name for name in contacts if name and known.get(name, "-") is None}
        return pa.array([known.get(name or "") for name in contacts], pa.string())

    def notices(self, dataset: str) -> list[str]:
        if not self.doubtful:
            return []
        return [
            f"{dataset}: HubSpot counts the first touch of {len(self.doubtful)} contacts for "
            "several campaigns; they are given to none of them."
        ]
