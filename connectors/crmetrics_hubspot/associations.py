"""Associations: a read of their own, with labels, whatever the records themselves say.

The associations beside the records of a list are cut off and carry no labels, and tying two records
together changes neither of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crmetrics.plugin import SourceError
from crmetrics_hubspot.api import HubSpotApi

LARGEST_READ = 1_000
PRIMARY = "Primary"

FIELDS: Mapping[str, str] = {
    "associated_company": "companies",
    "associated_contact": "contacts",
    "associated_deal": "deals",
    "associated_lead": "leads",
    "associated_order": "orders",
    "associated_ticket": "tickets",
}
"""Fields that a mapping may read of every object: the id of the associated record."""

Ties = dict[str, dict[str, set[str]]]
"""Record -> associated record -> labels."""


def read_ties(api: HubSpotApi, kind: str, other: str, ids: Sequence[str]) -> Ties:
    """The associations of these records with records of another type.

    A record without any is missing. Raises SourceError when HubSpot reports another failure.
    """
    found: Ties = {}
    for start in range(0, len(ids), LARGEST_READ):
        inputs: list[dict[str, str]] = [{"id": name} for name in ids[start : start + LARGEST_READ]]
        while inputs:
            body = api.post("associations", kind, other, "batch", "read", body={"inputs": inputs})
            answer = json.loads(body)
            _require_known_errors(answer, kind, other)
            inputs = list(_take(answer, found))
    return found


def _take(answer: Mapping[str, Any], found: Ties) -> Iterator[dict[str, str]]:
    """Keep the associations of an answer; the inputs whose further pages are to be asked for."""
    for result in answer.get("results", ()):
        one = str(result["from"]["id"])
        ties = found.setdefault(one, {})
        for to in result.get("to", ()):
            # A number in older answers, a text in newer ones.
            labels = ties.setdefault(str(to["toObjectId"]), set())
            labels.update(
                kind["label"] for kind in to.get("associationTypes", ()) if kind.get("label")
            )
        after = ((result.get("paging") or {}).get("next") or {}).get("after")
        if after:
            yield {"id": one, "after": str(after)}


def _require_known_errors(answer: Mapping[str, Any], kind: str, other: str) -> None:
    """Records without associations come as errors of a 207: those are no failure."""
    for error in answer.get("errors") or ():
        if error.get("category") != "OBJECT_NOT_FOUND":
            raise SourceError(
                f"HubSpot could not read the associations of {kind} with {other}: "
                f"{str(error.get('message') or error.get('category'))[:300]}."
            )


def chosen(ties: Mapping[str, set[str]], label: str = PRIMARY) -> str | None:
    """The one associated record that counts: the one with the label, else the one with Primary,
    else the oldest (the smallest id)."""
    if not ties:
        return None
    for wanted in (label, PRIMARY):
        labelled = [name for name, labels in ties.items() if wanted in labels]
        if labelled:
            return min(labelled, key=_age)
    return min(ties, key=_age)


def _age(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (2**63, name)
