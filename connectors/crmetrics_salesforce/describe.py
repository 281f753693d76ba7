"""Objects and fields as `describe` tells them, and the Arrow types their values are read as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crmetrics_salesforce.answers import Described

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = frozenset({"int", "long", "double", "percent", "currency"})
_UNREADABLE = frozenset({"address", "location", "base64", "complexvalue", "json"})
_PERSONAL_TYPES = frozenset({"email", "phone", "longtextarea"})
_LONG_TEXT = 256
"""Longer texts are what people wrote: descriptions, bodies, notes."""

PERSONS = frozenset({"Contact", "Lead", "User", "CampaignMember", "Individual"})
_PERSONAL = frozenset(
    {
        "Name", "FirstName", "LastName", "MiddleName", "Username", "Alias", "Email", "Phone",
        "MobilePhone", "HomePhone", "OtherPhone", "Fax", "Title", "Street", "CompanyOrAccount",
        "NameOrAlias", "CommunityNickname", "SenderName", "SenderEmail", "FederationIdentifier",
        "AssistantName", "AssistantPhone", "InformalName", "Suffix", "AboutMe", "Signature",
        "StayInTouchSignature", "StayInTouchNote", "StayInTouchSubject", "PhotoUrl",
        "SmallPhotoUrl", "MediumPhotoUrl", "FullPhotoUrl", "BannerPhotoUrl",
    }
)  # fmt: skip
_PERSONAL_ANYWHERE = frozenset(
    {
        "Subject", "Description", "TextBody", "HtmlBody", "CommentBody", "Body", "FromAddress",
        "FromName", "ToAddress", "CcAddress", "BccAddress", "SuppliedName", "SuppliedEmail",
        "SuppliedPhone", "ContactEmail", "ContactPhone", "FromPhoneNumber", "ToPhoneNumber",
        "SourceIp", "IpAddress", "BillingStreet", "MailingStreet", "ResponseValue",
        "PersonEmail", "PersonMobilePhone", "NextStep", "SubmissionNote", "ShippingStreet",
        "OtherStreet", "PersonMailingStreet", "PersonOtherStreet", "Birthdate", "PersonBirthdate",
        "FirstName", "LastName", "MiddleName", "Salutation",  # of person accounts too
    }
)  # fmt: skip

_PERSONAL_FOLDED = frozenset(name.lower() for name in _PERSONAL)
_ANYWHERE_FOLDED = frozenset(name.lower() for name in _PERSONAL_ANYWHERE)
_PERSON_RELATIONS = frozenset(
    {
        "owner", "createdby", "lastmodifiedby", "who", "user", "contact", "lead", "individual",
        "reportsto", "manager", "convertedcontact", "quotaowner", "forecastowner",
    }
)  # fmt: skip


def is_named_personal(name: str, field: str) -> bool:
    """True when the name of a field alone says that it is about a person, of an object that cannot
    be looked at. Accounts may be people: nobody says that those of a hidden object are none."""
    wanted = field.lower()
    is_known = name in PERSONS and wanted in _PERSONAL_FOLDED
    return is_known or wanted in _ANYWHERE_FOLDED or (name == "Account" and wanted == "name")


@dataclass(frozen=True, slots=True)
class Field:
    """One field. refers_to: the objects whose ids it holds."""

    name: str
    type: str
    calculated: bool = False
    relationship: str = ""
    refers_to: tuple[str, ...] = ()
    length: int = 0

    @property
    def is_readable(self) -> bool:
        """False for compounds and files: Bulk refuses them, their parts are fields themselves."""
        return self.type not in _UNREADABLE

    @property
    def targets(self) -> tuple[str, ...]:
        """The objects that it refers to, people first: `Owner.Name` is a person's name although it
        may be a queue's. An org may leave out those that the user cannot see."""
        people = self.relationship.lower() in _PERSON_RELATIONS
        names = dict.fromkeys([*self.refers_to, *(["User", "Contact"] if people else [])])
        return tuple(sorted(names, key=lambda name: name not in PERSONS))

    def arrow_type(self) -> pa.DataType:
        """Numbers are floats, because whole ones come as 23.0 at times."""
        import pyarrow as pa

        if self.type == "boolean":
            return pa.bool_()
        if self.type in _NUMBERS:
            return pa.float64()
        if self.type == "date":
            return pa.date32()
        if self.type == "datetime":
            return pa.timestamp("us", tz="UTC")
        return pa.string()


@dataclass(frozen=True)
class SObject:
    """An object as the user sees it: hidden fields are not there."""

    name: str
    fields: Mapping[str, Field] = field(repr=False)
    queryable: bool = True
    replicateable: bool = False

    def field(self, name: str) -> Field | None:
        """The field of that name, whatever its case."""
        return self.fields.get(name.lower())

    def parent(self, relationship: str) -> Field | None:
        """The lookup behind `Owner` of `Owner.Name`."""
        wanted = relationship.lower()
        return next((f for f in self.fields.values() if f.relationship.lower() == wanted), None)

    def is_personal(self, name: str) -> bool:
        """True for names, addresses, numbers and texts of people, which are never requested."""
        found = self.field(name)
        if found is not None and found.type in _PERSONAL_TYPES:
            return True
        if found is not None and found.type == "textarea" and found.length >= _LONG_TEXT:
            return True
        wanted = found.name if found is not None else name
        if self.name == "Account" and wanted == "Name":
            return self.field("IsPersonAccount") is not None  # then some of them are people
        return is_named_personal(self.name, wanted)


def sobject_of(described: Described) -> SObject:
    fields = {
        entry.name.lower(): Field(
            entry.name,
            entry.type,
            entry.calculated,
            entry.relationship_name or "",
            entry.reference_to,
            entry.length,
        )
        for entry in described.fields
    }
    return SObject(described.name, fields, described.queryable, described.replicateable)
