"""What the endpoints answer, as far as it is needed; anything else is an error that names them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel, to_pascal

from crmetrics.plugin import SourceError, http

T = TypeVar("T")
_SHOWN = 3


class _Answer(BaseModel):
    """Members that are not listed do not matter."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)


class Granted(_Answer):
    """`/services/oauth2/token`."""

    model_config = ConfigDict(frozen=True, alias_generator=None)

    access_token: str = Field(min_length=1, repr=False)
    instance_url: str = ""
    id: str = ""
    refresh_token: str = Field(default="", repr=False)


class Allowance(_Answer):
    """A limit of `/limits`."""

    model_config = ConfigDict(frozen=True, alias_generator=to_pascal)

    max: int
    remaining: int


class Limits(_Answer):
    """`/limits`, the calls of a day; None = the org does not tell."""

    model_config = ConfigDict(frozen=True, alias_generator=to_pascal)

    daily_api_requests: Allowance | None = None


class Version(_Answer):
    """An entry of `/services/data/`."""

    version: str


class Counted(_Answer):
    """A query with `COUNT()`."""

    total_size: int


class DescribedField(_Answer):
    name: str
    type: str = "string"
    calculated: bool = False
    relationship_name: str | None = None
    reference_to: tuple[str, ...] = ()
    length: int = 0


class Described(_Answer):
    """`/sobjects/NAME/describe`."""

    name: str
    fields: tuple[DescribedField, ...]
    queryable: bool = True
    replicateable: bool = False


class Listed(_Answer):
    """An entry of the list of objects."""

    name: str


class Objects(_Answer):
    """`/sobjects/`, the objects that the user may see."""

    sobjects: tuple[Listed, ...]


class OrganizationRow(_Answer):
    model_config = ConfigDict(frozen=True, alias_generator=to_pascal)

    default_currency_iso_code: str | None = None


class OrganizationRows(_Answer):
    """A query of Organization."""

    records: tuple[OrganizationRow, ...]


class Features(_Answer):
    default_currency_iso_code: str | None = None


class OrganizationSettings(_Answer):
    """`/connect/organization`."""

    features: Features = Features()


class Part(_Answer):
    """One answer in that of `/composite/batch`."""

    status_code: int
    result: Any = None


class Batch(_Answer):
    """`/composite/batch`."""

    results: tuple[Part, ...]


class JobMade(_Answer):
    """A new bulk job."""

    id: str = Field(min_length=1)


class JobState(_Answer):
    """A bulk job that is asked how far it is."""

    state: str
    number_records_processed: int | None = None
    error_message: str | None = None


class Removal(_Answer):
    id: str
    deleted_date: datetime | None = None


class Removed(_Answer):
    """`/sobjects/NAME/deleted/`."""

    deleted_records: tuple[Removal, ...]
    earliest_date_available: datetime | None = None
    latest_date_covered: datetime | None = None


def parsed(kind: type[T], response: http.Response, what: str, *, is_secret: bool = False) -> T:
    """The answer of `what` as this. is_secret: nothing of the answer may be shown.

    Raises SourceError that says what was expected where.
    """
    reason = ""
    try:
        return TypeAdapter(kind).validate_json(response.body)
    except ValidationError as exc:
        reason = _reason(exc)
    raise unexpected(what, reason, "" if is_secret else response.excerpt())


def unexpected(what: str, reason: str, shown: str = "") -> SourceError:
    """The error for an answer of another shape than that of the API."""
    found = f" It answered: {shown}." if shown else ""
    return SourceError(
        f"{what} gave an answer that is not one of Salesforce's API: {reason}.{found} "
        "Something between may answer in its place: check `domain:` and `base_url:`, and run again."
    )


def part(kind: type[T], value: Any, what: str) -> T:
    """A part of an answer as this. Raises SourceError."""
    reason = ""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as exc:
        reason = _reason(exc)
    raise unexpected(what, reason)


def _reason(exc: ValidationError) -> str:
    """What is wrong with it, without the values."""
    found = []
    for error in exc.errors(include_input=False, include_url=False, include_context=False)[:_SHOWN]:
        place = ".".join(str(name) for name in error["loc"])
        said = error["msg"][:1].lower() + error["msg"][1:]
        found.append(f"{place}: {said}" if place else said)
    return "; ".join(found)
