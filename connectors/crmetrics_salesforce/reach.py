"""What of a stream this user can read: entries resolved against what the org shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crmetrics_salesforce.api import Api
from crmetrics_salesforce.describe import Field, SObject, is_named_personal
from crmetrics_salesforce.soql import is_about_now, is_soql_name, words_of
from crmetrics_salesforce.streams import CURSORS, ORG_CURRENCY, Companion, Entry, Extra, Stream

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT = re.compile(r"'(?:[^']|'')*'")
_JUNCTIONS = frozenset({"AND", "OR", "NOT"})
_NAME = re.compile(r'"([^"]+)"|\b([A-Z]\w*(?:\.[A-Z]\w*)*)\b|\b(\w+__c)\b')


@dataclass(frozen=True)
class Lack:
    """Why something cannot be given. object: the one that the user has to be let see. is_object:
    all of it, not a field."""

    object: str
    why: str
    is_object: bool = False

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True)
class Absence:
    """A stream of which nothing can be read."""

    stream: Stream
    lack: Lack


@dataclass(frozen=True)
class Reach:
    """What can be read of one stream.

    entries: canonical column -> field or expression. types: field of the main object -> Arrow type.
    extras: the columns that are put together. companions: what they need, with types. missing:
    canonical column -> why it cannot be given. weakened: canonical column whose first entry cannot
    be used, and a later one is -> why. stale: fields that change without a trace: formulas,
    roll-ups and fields of parents. stale_conditions: what of that the conditions of the project
    file look at.
    """

    stream: Stream
    sobject: SObject
    cursor: str
    entries: Mapping[str, str]
    types: Mapping[str, Any]
    extras: Mapping[str, Extra] = field(default_factory=dict)
    companions: Mapping[Companion, Mapping[str, Any]] = field(default_factory=dict)
    missing: Mapping[str, Lack] = field(default_factory=dict)
    weakened: Mapping[str, Lack] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    stale_conditions: tuple[str, ...] = ()

    @property
    def is_assembled(self) -> bool:
        return bool(self.stream.relation or self.extras)

    def substituted(self) -> dict[str, list[str]]:
        """Why first entries cannot be used -> their columns; without the currency, of which the
        reading tells by itself whether anything says it."""
        found: dict[str, list[str]] = {}
        for column, lack in self.weakened.items():
            if self.entries[column] != ORG_CURRENCY:
                found.setdefault(str(lack), []).append(column)
        return found


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
        condition: str = "",
    ) -> Reach | Absence:
        """What can be read of these columns.

        mapped: canonical column -> the fields that the user's entry for it reads. entries: those of
        the stream, and those that come from options. condition: `where:` of the project file.
        """
        sobject = self._api.describe(stream.object)
        if sobject is None or not sobject.queryable:
            return Absence(stream, _absent(stream.object))
        found = _Finding(self, stream, sobject, condition)
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
        for target in lookup.targets:
            # Hidden objects too: what stands for them in a query tells names all the same.
            described = self._api.describe(target) if target in lookup.refers_to else None
            if described.is_personal(rest) if described else is_named_personal(target, rest):
                return None, f"{target}.{rest} is personal, and never read", False
        for described in self._readable(lookup):
            kind, why, _ = self.field_type(described, rest)
            if kind is not None:
                break
        if kind is None and len(lookup.refers_to) > 1:
            kinds = " or ".join(lookup.refers_to)
            why = f"{sobject.name}.{first} is a {kinds}, and no query gives {rest} of such"
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
        for described in self._readable(lookup):
            if self.field_type(described, rest)[0] is not None:
                return f"{lookup.relationship}.{self.spelled(described, rest)}"
        return name

    def _readable(self, lookup: Field) -> Iterator[SObject]:
        """What the fields behind a lookup are fields of: when it may refer to several objects, a
        query knows only those that the object Name stands for."""
        if len(lookup.refers_to) > 1:
            described = self._api.describe("Name")
            if described is not None:
                yield described
            return
        for name in lookup.refers_to:
            described = self._api.describe(name)
            if described is not None:
                yield described

    def companion_types(self, companion: Companion) -> Mapping[str, Any] | Lack:
        """Types of a companion's fields, or why it cannot be read."""
        described = self._api.describe(companion.object)
        if described is None:
            return _absent(companion.object)
        types: dict[str, Any] = {}
        for name in companion.fields:
            kind, why, _ = self.field_type(described, name)
            if kind is None:
                return Lack(companion.object, why)
            types[name] = kind
        for name in companion.if_shown:
            kind, _, _ = self.field_type(described, name)
            if kind is not None:
                types[name] = kind
        unasked = None if companion.is_rule else self.unasked(described, companion.where)
        return unasked or types

    def unasked(self, sobject: SObject, condition: str) -> Lack | None:
        """Why one of our own conditions cannot be asked for: a field that it needs is hidden."""
        for name in fields_in(condition):
            kind, why, _ = self.field_type(sobject, name)
            if kind is None and name not in _JUNCTIONS:
                return Lack(sobject.name, why)
        return None

    def stale_in(self, name: str, condition: str) -> list[str]:
        """What a SOQL condition over an object looks at that changes without the object's stamp."""
        described = self._api.describe(name)
        if described is None or not condition:
            return []
        found = []
        for word in words_of(condition):
            first, *rest = word.split(".")
            if rest and first.lower() == name.lower():  # `Contact.Email` of a contact
                first, *rest = rest
            own = described.field(first)
            if rest:
                is_stale = described.parent(first) is not None
            else:
                is_stale = own.calculated if own is not None else is_about_now(first)
            if is_stale:
                found.append(word)
        return list(dict.fromkeys(found))


def _absent(name: str) -> Lack:
    return Lack(name, f"{name} is missing or hidden from the user", is_object=True)


class _Finding:
    def __init__(
        self, surveyor: Surveyor, stream: Stream, sobject: SObject, condition: str
    ) -> None:
        self._surveyor = surveyor
        self._stream = stream
        self._sobject = sobject
        self._condition = condition
        self._entries: dict[str, str] = {}
        self._types: dict[str, Any] = {}
        self._extras: dict[str, Extra] = {}
        self._companions: dict[Companion, Mapping[str, Any]] = {}
        self._missing: dict[str, Lack] = {}
        self._weakened: dict[str, Lack] = {}
        self._stale: dict[str, None] = {}
        self.cursor = next((name for name in CURSORS if sobject.field(name)), "")
        self._take_fields(["Id", *([self.cursor] if self.cursor else [])])

    def take(self, column: str, entry: Entry) -> None:
        """The first of the entries whose fields are there."""
        lack: Lack | None = None
        for text in (entry,) if isinstance(entry, str) else entry:
            problem = self._take_fields(fields_in(text))
            if problem is None:
                self._entries[column] = text
                if lack is not None:
                    self._weakened[column] = lack
                return
            lack = lack or problem
        if lack is not None:
            self._missing[column] = lack

    def take_mapped(self, column: str, fields: Sequence[str]) -> None:
        """The fields that the user's entry for a column reads."""
        for name in fields:
            if self._sobject.is_personal(name):
                self._missing[column] = Lack(
                    self._sobject.name,
                    f"{self._sobject.name}.{name} holds names, addresses or texts of people, which "
                    "are never read",
                )
                return
        problem = self._take_fields(fields)
        if problem is not None:
            self._missing[column] = problem

    def _take_fields(self, names: Sequence[str]) -> Lack | None:
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
                    found = self._surveyor.companion_types(companion)
                    if isinstance(found, Lack):
                        return found
                    companions[companion] = found
            for wanted in (name,) if extra is None else extra.needs:
                kind, why, is_stale = self._surveyor.field_type(self._sobject, wanted)
                if kind is None:
                    return Lack(self._sobject.name, why)
                spelled = self._surveyor.spelled(self._sobject, wanted)
                types[spelled] = kind
                if is_stale:
                    stale.append(spelled)
        self._types.update(types)
        self._extras.update(extras)
        self._companions.update(companions)
        self._stale.update(dict.fromkeys(stale))
        return None

    def reach(self) -> Reach | Absence:
        stream = self._stream
        shown = stream.where_shown
        if shown and self._surveyor.unasked(self._sobject, shown) is None:
            stream = replace(stream, where=f"{stream.where} AND {shown}" if stream.where else shown)
        base = self._take_fields([*stream.base, *([stream.group] if stream.group else [])])
        base = base or self._surveyor.unasked(self._sobject, stream.where)
        if base is not None:
            return Absence(stream, base)
        for name in stream.if_shown:
            self._take_fields([name])
        for companion in stream.companions:
            found = self._surveyor.companion_types(companion)
            if isinstance(found, Lack) and companion.link:
                return Absence(stream, found)
            self._companions[companion] = {} if isinstance(found, Lack) else found
        return Reach(
            stream,
            self._sobject,
            self.cursor,
            self._entries,
            self._types,
            self._extras,
            self._companions,
            self._missing,
            self._weakened,
            tuple(self._stale),
            tuple(self._stale_conditions()),
        )

    def _stale_conditions(self) -> Iterator[str]:
        yield from self._surveyor.stale_in(self._sobject.name, self._condition)
        for companion in self._companions:
            yield from self._surveyor.stale_in(companion.object, companion.where)


def fields_in(text: str) -> list[str]:
    """The fields that one of our own entries reads: quoted names, and words with a capital.

    SQL in the mapping is written in small letters, so what has a capital is Salesforce's.
    """
    found = [a or b or c for a, b, c in _NAME.findall(_TEXT.sub("''", text))]
    return list(dict.fromkeys(found))
