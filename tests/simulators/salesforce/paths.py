"""Field paths (`Account.Owner.Name`) bound to the objects of an org."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulators.salesforce.errors import Refusal, pictured
from simulators.salesforce.org import Org
from simulators.salesforce.schema import Field, SObject

Record = Mapping[str, Any]
_ENTITY = "entity type"
"""What `Type` means behind a polymorphic lookup: the object; a group that owns is a queue."""
_NO_COLUMN = (
    "No such column '{}' on entity '{}'. If you are attempting to use a custom field, be sure to "
    "append the '__c' after the custom field name. Please reference your WSDL or the describe "
    "call for the appropriate names."
)
_NO_RELATIONSHIP = (
    "Didn't understand relationship '{}' in field path. If you are attempting to use a custom "
    "relationship, be sure to append the '__r' after the custom relationship name. Please "
    "reference your WSDL or the describe call for the appropriate names."
)
_NO_OBJECT = (
    "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to "
    "append the '__c' after the entity name. Please reference your WSDL or the describe call for "
    "the appropriate names."
)


@dataclass(frozen=True)
class Step:
    """A lookup on the way: `key` holds the id of the parent."""

    name: str
    key: str


@dataclass(frozen=True)
class BoundPath:
    """A path that exists and may be read. steps: the parents, outermost first."""

    path: str
    steps: tuple[Step, ...]
    field: Field
    read: Callable[[Record], Any]


def object_or_refusal(org: Org, name: str, text: str, at: int) -> SObject:
    found = org.object(name)
    if found is None or not found.is_queryable:
        raise Refusal("INVALID_TYPE", pictured(text, at, _NO_OBJECT.format(name)))
    return found


class Binder:
    """Finds what paths mean in one query; `seen` collects (object, field) of all that it reads."""

    def __init__(self, org: Org, source: SObject, text: str, seen: set[tuple[str, str]]) -> None:
        self.org, self.source, self.text, self.seen = org, source, text, seen

    def bind(self, path: str, at: int) -> BoundPath:
        *relationships, last = path.split(".")
        if relationships and relationships[0].lower() == self.source.name.lower():
            relationships = relationships[1:]
        current = self.source
        steps: list[Step] = []
        for name in relationships:
            current = self._follow(current, name, steps, at)
        field = self.org.field(current.name, last)
        if field is None:
            message = _NO_COLUMN.format(last, current.name)
            raise Refusal("INVALID_FIELD", pictured(self.text, at, message))
        self.seen.add((current.name, field.name))
        name = _ENTITY if current.name == "Name" and field.name == "Type" else field.name
        return BoundPath(path, tuple(steps), field, _reader(self.org, steps, name))

    def _follow(self, current: SObject, name: str, steps: list[Step], at: int) -> SObject:
        """The parent object; behind a lookup to several objects the one that is called Name."""
        lookup = current.lookup(name)
        parent: SObject | None = None
        if lookup is not None and lookup.name not in self.org.hidden(current.name):
            parent = self.org.object(lookup.refers_to[0] if len(lookup.refers_to) == 1 else "Name")
        if lookup is None or parent is None:
            message = pictured(self.text, at, _NO_RELATIONSHIP.format(name))
            raise Refusal("INVALID_FIELD", message)
        self.seen.add((current.name, lookup.name))
        steps.append(Step(lookup.relationship, lookup.name))
        return parent


def _reader(org: Org, steps: list[Step], name: str) -> Callable[[Record], Any]:
    if not steps:
        return lambda record: record[name]
    keys = [step.key for step in steps]

    def read(record: Record) -> Any:
        current: Record | None = record
        identity = None
        for key in keys:
            identity = current.get(key) if current is not None else None
            current = org.find(identity)
        if current is None:
            return None
        if name == _ENTITY:
            return org.name_of(identity).replace("Group", "Queue")
        return current.get(name)

    return read
