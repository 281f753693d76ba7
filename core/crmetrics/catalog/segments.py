"""Segments: groups of records that a team agrees on, as a column of a dataset.

    segments:
      tier:
        of: accounts
        groups:
          strategic: industry in ('Banking', 'Insurance') and country = 'US'
          partner: account_type = 'partner'
        otherwise: standard
        owners: ["@sales-ops", "@marketing-ops"]
        effective_from: 2026-01-01

The first group whose condition holds is the record's. It is a dimension wherever the dataset's
columns are (`tier`, `account.tier`), and may be named in expressions and filters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from msgspec import Struct, field

from crmetrics.catalog.definition import NOWHERE, Place, Places
from crmetrics.catalog.fields import Fields
from crmetrics.errors import did_you_mean

_KEYS = ("of", "groups", "otherwise", "title", "about", "owners", "effective_from")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Segment(Struct, frozen=True):
    """One column of groups. of: the dataset. groups: name -> condition over its columns, in order;
    places: where the conditions stand. otherwise: of records in no group; empty = null."""

    name: str
    pack: str
    of: str
    groups: Mapping[str, str]
    otherwise: str = ""
    title: str = ""
    owners: tuple[str, ...] = ()
    effective_from: str = ""
    place: Place = NOWHERE
    places: Places = field(default_factory=Places)


def read_segment(name: str, pack: str, fields: Fields) -> Segment | None:
    """The segment of one section; None (and findings) when it lacks what makes one."""
    fields.known(_KEYS)
    before = len(fields.findings)
    if not _NAME.fullmatch(name):
        fields.refuse(fields.section, f"{fields.path}: {name!r} is no name of a column.")
    for key in ("of", "groups"):
        if key not in fields.section.entries:
            hint = did_you_mean(key, fields.section.entries)
            fields.refuse(fields.section, f"{fields.path}: {key!r} is missing.", hint)
    below = fields.below("groups") if "groups" in fields.section.entries else None
    places = Places({key: below.place(key) for key in below.section.entries} if below else {})
    segment = Segment(
        name,
        pack,
        fields.text("of"),
        fields.mapping("groups") if below else {},
        fields.text("otherwise"),
        fields.text("title", name),
        fields.texts("owners"),
        effective_from(fields),
        fields.place(""),
        places,
    )
    return segment if len(fields.findings) == before else None


def effective_from(fields: Fields) -> str:
    """The day from which a definition is agreed, as `2026-01-01`; empty without one."""
    found = fields.text("effective_from")
    try:
        return date.fromisoformat(found).isoformat() if found else ""
    except ValueError:
        fields.refuse(
            fields.section.node("effective_from") or fields.section,
            f"{fields.path}.effective_from: expected a day such as 2026-01-31, found {found!r}.",
        )
        return ""
