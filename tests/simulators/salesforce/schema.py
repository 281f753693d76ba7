"""Objects and fields of an org, and how describe shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "long": "xsd:long",
    "double": "xsd:double",
    "percent": "xsd:double",
    "currency": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "address": "urn:address",
    "location": "urn:location",
    "base64": "xsd:base64Binary",
    "anyType": "xsd:anyType",
}
NUMBERS = frozenset({"int", "long", "double", "percent", "currency"})
COMPOUND = frozenset({"address", "location"})
_UNFILTERABLE = frozenset({"longtextarea", "base64", "anyType", *COMPOUND})


@dataclass(frozen=True)
class Field:
    """One field. kind: the `type` of describe, or `longtextarea` (describe says textarea)."""

    name: str
    kind: str
    refers_to: tuple[str, ...] = ()
    is_calculated: bool = False
    scale: int = 2

    @property
    def relationship(self) -> str:
        """`Owner` for `OwnerId`, `Region__r` for `Region__c`; empty when it is no lookup."""
        if self.kind != "reference":
            return ""
        if self.name.endswith("__c"):
            return f"{self.name[:-1]}r"
        return self.name.removesuffix("Id")

    @property
    def is_filterable(self) -> bool:
        return self.kind not in _UNFILTERABLE

    def described(self) -> dict[str, Any]:
        kind = "textarea" if self.kind == "longtextarea" else self.kind
        is_text = kind not in _SOAP
        is_number = kind in NUMBERS
        return {
            "name": self.name,
            "label": re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.name.removesuffix("__c")),
            "type": kind,
            "soapType": _SOAP.get(kind, "xsd:string"),
            "nillable": self.name not in ("Id", "IsDeleted", "CreatedDate", "SystemModstamp"),
            "custom": self.name.endswith("__c"),
            "calculated": self.is_calculated,
            "compoundFieldName": None,
            "length": 131072 if self.kind == "longtextarea" else 255 if is_text else 0,
            "precision": 18 if is_number else 0,
            "scale": self.scale if kind in ("double", "percent", "currency") else 0,
            "digits": 8 if kind == "int" else 0,
            "referenceTo": list(self.refers_to),
            "relationshipName": self.relationship or None,
            "polymorphicForeignKey": len(self.refers_to) > 1,
            "picklistValues": [],
            "filterable": self.is_filterable,
            "sortable": self.is_filterable,
            "groupable": self.is_filterable and kind != "datetime",
            "aggregatable": self.is_filterable,
            "externalId": False,
            "defaultValue": None,
            "encrypted": False,
            "updateable": not self.is_calculated and self.name != "Id",
        }


@dataclass
class SObject:
    """One object of the org with its records.

    parents: master fields; a record dies with its parent. is_bulk: Bulk API 2.0 serves it.
    is_queryable: False for what is described only, such as Name, which stands for the fields behind
    a lookup to several objects.
    records: by id; a record is replaced, never changed in place, so that a list of records is a
    snapshot.
    """

    name: str
    prefix: str
    fields: dict[str, Field]
    parents: tuple[str, ...] = ()
    is_bulk: bool = True
    is_replicateable: bool = True
    is_queryable: bool = True
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _blank: dict[str, Any] = field(default_factory=dict)

    def blank(self) -> Mapping[str, Any]:
        """A record without values: all null, switches off."""
        if len(self._blank) != len(self.fields):
            self._blank = {
                name: False if made.kind == "boolean" else None
                for name, made in self.fields.items()
            }
        return self._blank

    def field_named(self, name: str) -> Field | None:
        """The field of this name, whatever its case."""
        found = self.fields.get(name)
        if found is None:
            lowered = name.lower()
            found = next((f for f in self.fields.values() if f.name.lower() == lowered), None)
        return found

    def lookup(self, relationship: str) -> Field | None:
        """The lookup field behind `Owner` in `Owner.Name`."""
        lowered = relationship.lower()
        for candidate in self.fields.values():
            if candidate.relationship.lower() == lowered:
                return candidate
        return None

    def described(self, hidden: Iterable[str], version: str) -> dict[str, Any]:
        unseen = set(hidden)
        return {
            **self.summary(version),
            "fields": [f.described() for f in self.fields.values() if f.name not in unseen],
            "childRelationships": [],
            "recordTypeInfos": [],
        }

    def summary(self, version: str) -> dict[str, Any]:
        base = f"/services/data/v{version}/sobjects/{self.name}"
        return {
            "name": self.name,
            "label": self.name,
            "queryable": self.is_queryable,
            "retrieveable": True,
            "custom": self.name.endswith("__c"),
            "customSetting": False,
            "deprecatedAndHidden": False,
            "keyPrefix": self.prefix,
            "replicateable": self.is_replicateable,
            "urls": {"sobject": base, "describe": f"{base}/describe"},
        }


def parse_fields(text: str) -> dict[str, Field]:
    """`Name AnnualRevenue:currency OwnerId>User,Group Score:double=` (string; `=` is a formula)."""
    fields = {}
    for word in text.split():
        is_calculated = word.endswith("=")
        word = word.rstrip("=")
        if ">" in word:
            name, _, targets = word.partition(">")
            made = Field(name, "reference", tuple(targets.split(",")), is_calculated)
        else:
            name, _, kind = word.partition(":")
            made = Field(name, kind or "string", (), is_calculated)
        fields[name] = made
    return fields


def with_scale(made: Field, scale: int) -> Field:
    return replace(made, scale=scale)
