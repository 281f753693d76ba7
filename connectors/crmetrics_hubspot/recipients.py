"""Which contact an e-mail address belongs to.

Addresses are held in memory for as long as a read takes. They are not written anywhere, and no
message names one.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from crmetrics.plugin import SourceError
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.api import InvalidError
from crmetrics_hubspot.email_log import plain_address
from crmetrics_hubspot.objects import PAGE

_FURTHER = "hs_additional_emails"
_NOBODY = ("OBJECT_NOT_FOUND", "VALIDATION_ERROR")
_CATEGORY = re.compile(r"[A-Z_]+")
_MOST_KNOWN = 50_000
"""Addresses that are remembered; the readers of a newsletter are the same each time."""


class Recipients:
    """Looks up contacts by their addresses: a batch by the first address, a search by further ones,
    which are also those of the contacts that were merged into one, a batch in the recycle bin.

    refused: those of the further ways that HubSpot does not take.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._known: OrderedDict[str, str | None] = OrderedDict()
        self._further_ways = {
            "by further addresses": self._search,
            "in the recycle bin": self._archived,
        }
        self.refused: set[str] = set()

    def of(self, addresses: Sequence[Any]) -> list[str | None]:
        """The contact of each address; None where no contact has it."""
        plain = [plain_address(address) for address in addresses]
        found = {text: self._known[text] for text in plain if text in self._known}
        new = [text for text in dict.fromkeys(plain) if text and text not in found]
        for some in _chunks(new):
            found |= self._looked_up(some)
        for text, contact in found.items():
            self._known[text] = contact
            self._known.move_to_end(text)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return [found.get(text) for text in plain]

    def _looked_up(self, addresses: Sequence[str]) -> dict[str, str | None]:
        found: dict[str, str | None] = dict.fromkeys(addresses)
        for record in self._batch(addresses):
            _enter(found, record)
        for way, look in self._further_ways.items():
            missing = [text for text, contact in found.items() if contact is None]
            if not missing or way in self.refused:
                continue
            try:
                for record in look(missing):
                    _enter(found, record)
            except InvalidError:
                self.refused.add(way)
        return found

    def _archived(self, addresses: Sequence[str]) -> Iterable[Mapping[str, Any]]:
        """The contacts in the recycle bin: they were sent to while they were there."""
        return self._batch(addresses, archived=True)

    def _batch(
        self, addresses: Sequence[str], *, archived: bool = False
    ) -> Iterable[Mapping[str, Any]]:
        """Addresses that no contact has come as errors of a 207, whose texts name them."""
        body = {
            "idProperty": "email",
            "properties": ["email", _FURTHER],
            "propertiesWithHistory": [],
            "inputs": [{"id": text} for text in addresses],
        }
        place = ("contacts", "batch", "read")
        params = {"archived": "true"} if archived else None
        answer = json.loads(self._account.api.post("objects", *place, body=body, params=params))
        _require_known_errors(answer)
        records: list[Mapping[str, Any]] = answer.get("results") or []
        return records

    def _search(self, addresses: Sequence[str]) -> Iterable[Mapping[str, Any]]:
        if _FURTHER not in self._account.properties.of("contacts"):
            return ()
        wanted = {"propertyName": _FURTHER, "operator": "IN", "values": list(addresses)}
        body = {
            "filterGroups": [{"filters": [wanted]}],
            "properties": ["email", _FURTHER],
            "limit": PAGE,
        }
        answer = self._account.api.post("objects", "contacts", "search", body=body)
        records: list[Mapping[str, Any]] = json.loads(answer).get("results") or []
        return records


def _require_known_errors(answer: Mapping[str, Any]) -> None:
    """No contact has an address that is not found, or that is none. With any other error it is not
    known whether one has; the send would be one to nobody for good."""
    for error in answer.get("errors") or ():
        category = str(error.get("category"))
        if category not in _NOBODY:
            told = category if _CATEGORY.fullmatch(category) else "an error without a category"
            raise SourceError(
                f"HubSpot could not look up the contacts behind some e-mail addresses: {told}. "
                "Run again later."
            )


def _enter(found: dict[str, str | None], record: Mapping[str, Any]) -> None:
    """Note a contact under each of its addresses that was asked for."""
    own = record.get("properties") or {}
    texts = [own.get("email"), *(own.get(_FURTHER) or "").split(";")]
    for text in map(plain_address, texts):
        if text in found:
            found[text] = str(record["id"])


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while chunk := list(islice(rest, PAGE)):
        yield chunk
