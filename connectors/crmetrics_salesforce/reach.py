"""What of a stream this user can read: entries resolved against what the org shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crmetrics_salesforce.api import Api, is_soql_name
from crmetrics_salesforce.describe import PERSONS, Field, SObject
from crmetrics_salesforce.streams import CURSORS, Companion, Entry, Extra, Stream

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT = re.compile(r"'(?:[^']|'')*'")
_NAME = re.compile(r'"([^"]+)"|\b([A-Z]\w*(?:\.[A-Z]\w*)*)\b|\b(\w+__c)\b')


@dataclass(frozen=True)
class Reach:
    """What can be read of one stream.

    entries: canonical column -> field or expression. types: field of the main object -> Arrow type.
    extras: the columns that are put together. companions: what they need, with types. missing:
    canonical column -> why it cannot be given. stale: fields that change without a trace: formulas,
    roll-ups and fields of parents. formulas: the first two of them.
    """

    stream: Stream
    sobject: SObject
    cursor: str
    entries: Mapping[str, str]
    types: Mapping[str, Any]
    extras: Mapping[str, Extra] = field(default_factory=dict)
    companions: Mapping[Companion, Mapping[str, Any]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    formulas: tuple[str, ...] = ()

    @property
    def is_assembled(self) -> bool:
        return bool(self.stream.relation or self.extras)


class Surveyor:
    """Resolves streams against the org."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def survey(
        self,
        stream: Stream,
        columns: Sequence[str],
        mapped: Mapping[str, Sequence[str]],
        entries: Mapping[str, Entry],
    ) -> Reach | None:
        """What can be read of these columns; None when the org lacks the object or hides it.

        mapped: canonical column -> the fields that the user's entry for it reads. entries: those of
        the stream, and those that come from options.
        """
        sobject = self._api.describe(stream.object)
        if sobject is None or not sobject.queryable:
            return None
        found = _Finding(self, stream, sobject)
        for column in columns:
            if column in mapped:
                found.take_mapped(column, mapped[column])
            elif column in entries:
                found.take(column, entries[column])
        return found.reach()

    def field_type(self, sobject: SObject, name: str) -> tuple[pa.DataType | None, str, bool]:
        """Type of a field or of a parent's field, why it cannot be read, and whether it changes
        without its record's stamp."""
        if not is_soql_name(name):
            return None, f"{name!r} is no field", False
        first, _, rest = name.partition(".")
        if not rest:
            found = sobject.field(name)
            if found is None or not found.is_readable:
                return None, f"{sobject.name}.{name} is missing or hidden from the user", False
            return found.arrow_type(), "", found.calculated
        lookup = sobject.parent(first)
        if lookup is None:
            return None, f"{sobject.name}.{first} is missing or hidden from the user", False
        kind = None
        why = f"{sobject.name}.{name} is missing or hidden from the user"
        for described in self._targets(lookup):
            parent = described.name
            if described.is_personal(rest):
                return None, f"{parent}.{rest} is personal, and never read", False
            kind, why, _ = self.field_type(described, rest)
            if kind is not None:
                break
        return kind, why, True

    def spelled(self, sobject: SObject, name: str) -> str:
        """The name of a field as the org spells it: answers carry that spelling, whatever the case
        of the question, and one field in two spellings is refused as asked for twice."""
        first, _, rest = name.partition(".")
        if not rest:
            found = sobject.field(name)
            return found.name if found else name
        lookup = sobject.parent(first)
        if lookup is None:
            return name
        for described in self._targets(lookup):
            if self.field_type(described, rest)[0] is not None:
                return f"{lookup.relationship}.{self.spelled(described, rest)}"
        return name

    def _targets(self, lookup: Field) -> Iterator[SObject]:
        """The objects that a lookup refers to, people before others: `Owner.Name` is a person's
        name although it may be a queue's."""
        for name in sorted(lookup.refers_to, key=lambda name: name not in PERSONS):
            described = self._api.describe(name)
            if described is not None:
                yield described

    def companion_types(self, companion: Companion) -> tuple[Mapping[str, Any] | None, str]:
        """Types of a companion's fields; None and why when it cannot be read."""
        described = self._api.describe(companion.object)
        if described is None:
            return None, f"{companion.object} is missing or hidden from the user"
        types: dict[str, Any] = {}
        for name in companion.fields:
            kind, why, _ = self.field_type(described, name)
            if kind is None:
                return None, why
            types[name] = kind
        return types, ""


class _Finding:
    def __init__(self, surveyor: Surveyor, stream: Stream, sobject: SObject) -> None:
        self._surveyor = surveyor
        self._stream = stream
        self._sobject = sobject
        self._entries: dict[str, str] = {}
        self._types: dict[str, Any] = {}
        self._extras: dict[str, Extra] = {}
        self._companions: dict[Companion, Mapping[str, Any]] = {}
        self._missing: dict[str, str] = {}
        self._stale: dict[str, None] = {}
        self.cursor = next((name for name in CURSORS if sobject.field(name)), "")
        self._take_fields(["Id", *([self.cursor] if self.cursor else [])])

    def take(self, column: str, entry: Entry) -> None:
        """The first of the entries whose fields are there."""
        why = ""
        for text in (entry,) if isinstance(entry, str) else entry:
            problem = self._take_fields(fields_in(text))
            if not problem:
                self._entries[column] = text
                return
            why = why or problem
        self._missing[column] = why

    def take_mapped(self, column: str, fields: Sequence[str]) -> None:
        """The fields that the user's entry for a column reads."""
        for name in fields:
            if self._sobject.is_personal(name):
                self._missing[column] = (
                    f"{self._sobject.name}.{name} holds names, addresses or texts of people, which "
                    "are never read"
                )
                return
        problem = self._take_fields(fields)
        if problem:
            self._missing[column] = problem

    def _take_fields(self, names: Sequence[str]) -> str:
        """Add the fields to what is read; why not, when one of them is not there."""
        types: dict[str, Any] = {}
        extras: dict[str, Extra] = {}
        companions: dict[Companion, Mapping[str, Any]] = {}
        stale: list[str] = []
        for name in names:
            extra = self._stream.extras.get(name)
            if extra is not None:
                extras[name] = extra
                for companion in extra.companions:
                    found, why = self._surveyor.companion_types(companion)
                    if found is None:
                        return why
                    companions[companion] = found
            for wanted in (name,) if extra is None else extra.needs:
                kind, why, is_stale = self._surveyor.field_type(self._sobject, wanted)
                if kind is None:
                    return why
                spelled = self._surveyor.spelled(self._sobject, wanted)
                types[spelled] = kind
                if is_stale:
                    stale.append(spelled)
        self._types.update(types)
        self._extras.update(extras)
        self._companions.update(companions)
        self._stale.update(dict.fromkeys(stale))
        return ""

    def reach(self) -> Reach | None:
        stream = self._stream
        base = self._take_fields([*stream.base, *([stream.group] if stream.group else [])])
        if base:
            return None
        for companion in stream.companions:
            found, _ = self._surveyor.companion_types(companion)
            if found is None and companion.link:
                return None
            self._companions[companion] = found or {}
        return Reach(
            stream,
            self._sobject,
            self.cursor,
            self._entries,
            self._types,
            self._extras,
            self._companions,
            self._missing,
            tuple(self._stale),
            tuple(name for name in self._stale if "." not in name),
        )


def fields_in(text: str) -> list[str]:
    """The fields that one of our own entries reads: quoted names, and words with a capital.

    SQL in the mapping is written in small letters, so what has a capital is Salesforce's.
    """
    found = [a or b or c for a, b, c in _NAME.findall(_TEXT.sub("''", text))]
    return list(dict.fromkeys(found))
