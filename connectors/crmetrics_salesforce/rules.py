"""The conditions of the project file: SOQL for all objects of a dataset, or for each its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from crmetrics.plugin import did_you_mean
from crmetrics_salesforce.every_stream import objects_of

RULES = ("where", "is_test", "is_spam")
Rule = str | dict[str, str]
"""A SOQL condition for all objects of a dataset, or object -> its own."""


class Ruled(Protocol):
    """What a dataset says in the project file: beside `object`, a rule under each of `RULES`."""

    @property
    def object(self) -> str | None: ...

    def rules(self) -> Mapping[str, Rule]:
        """Those that are there."""


def require_objects(datasets: Mapping[str, Ruled]) -> None:
    """Raises ValidationError, with a place for each, for conditions of objects that a dataset does
    not come from."""
    wrong = [
        InitErrorDetails(
            type="value_error",
            loc=(*place, "[key]"),
            input=place[-1],
            ctx={"error": ValueError(why)},
        )
        for dataset, own in datasets.items()
        for place, why in _strangers(dataset, own)
    ]
    if wrong:
        raise ValidationError.from_exception_data("datasets", wrong)


def _strangers(dataset: str, own: Ruled) -> Iterator[tuple[tuple[str, ...], str]]:
    """Places, and why the object of that name has no condition there."""
    known = [own.object] if own.object else objects_of(dataset)
    for key, rule in own.rules().items():
        for name in rule if isinstance(rule, dict) else ():
            if name not in known:
                yield (dataset, key, name), _no_object(name, dataset, known)


def _no_object(name: str, dataset: str, known: Sequence[str]) -> str:
    if not known:
        return f"Salesforce has no object for {dataset} by itself; name yours with `object:`"
    same = [other for other in known if other.lower() == name.lower()]
    close = did_you_mean(same[0] if same else name, same or known, limit=1)
    return f"{dataset} comes from {', '.join(known)}, not from {name!r}. {close}".rstrip(". ")
