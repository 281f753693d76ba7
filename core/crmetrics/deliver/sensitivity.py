"""Which dimensions single out persons or records (rule V1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from crmetrics.datasets import canonical_datasets
from crmetrics.message import Detail

_GROUPS = frozenset({"products", "campaigns"})
_OWNED = frozenset({"goal", "owner"})  # the title of an owner's target names the owner
_NAMING = frozenset({"id", "name", "first_name", "last_name", "email", "phone"})


def detail_of(dimensions: Iterable[str]) -> Detail:
    """What one segment of these dimensions is; the strictest of them decides.

    `owner_id` and `user_id` are persons, `account_id` or `contact_id` records, `owner.team` or
    `product_id` groups. A key that no canonical dataset knows is taken for a record.
    """
    found = {_detail(dimension) for dimension in dimensions}
    if "record" in found:
        return "record"
    return "person" if "person" in found else "group"


def _detail(dimension: str) -> Detail:
    if dimension in _OWNED:
        return "person"
    prefix, _, column = dimension.rpartition(".")
    if column in _NAMING:
        column = f"{prefix.rpartition('.')[2]}_id"
    elif not column.endswith("_id"):
        return "group"
    target = _references().get(column)
    if target == "users":
        return "person"
    return "group" if target in _GROUPS else "record"


@lru_cache(maxsize=1)
def _references() -> Mapping[str, str]:
    """Foreign key -> the dataset it points to."""
    return {
        column.name: column.references
        for dataset in canonical_datasets().values()
        for column in dataset.foreign_keys
        if column.references
    }
