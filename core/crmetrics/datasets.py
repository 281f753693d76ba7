"""The canonical datasets: what connectors deliver and KPIs read.

The 27 datasets stand in `canonical/datasets.csv` and `canonical/columns.csv`, one row per dataset
and per column, so that the registry, the documentation and the reviewers read the same lines.
Plugins add datasets or columns through the hook `crmetrics_datasets`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from crmetrics.errors import PluginError

if TYPE_CHECKING:
    import pyarrow as pa

ColumnType = Literal["string", "bool", "int", "float", "money", "date", "timestamp"]

SQL_TYPES: Mapping[str, str] = {
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "int": "BIGINT",
    "float": "DOUBLE",
    "money": "DECIMAL(18,4)",
    "date": "DATE",
    "timestamp": "TIMESTAMPTZ",
}
"""DuckDB type of each column type."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a dataset.

    nullable=False means that KPIs rely on the value; a null is kept and counted, only a missing
    key rejects a row. default: what stands in when a source does not deliver a flag. expression:
    SQL over the dataset's other columns, of a column that no source delivers (a segment).
    """

    name: str
    type: ColumnType
    nullable: bool = True
    references: str | None = None
    about: str = ""
    default: bool | str | None = None
    salesforce: str = ""
    hubspot: str = ""
    expression: str = ""

    @property
    def sql_type(self) -> str:
        return SQL_TYPES[self.type]

    @property
    def arrow_type(self) -> pa.DataType:
        return arrow_type(self.type)

    @property
    def reference_name(self) -> str:
        """How a dimension names the foreign key: the key without `_id` (`owner_id` -> `owner`)."""
        return self.name.removesuffix("_id")


@dataclass(frozen=True)
class Dataset:
    """A table that connectors deliver, one row per record of the source.

    key: the columns that identify a row (with `source`).
    created: the instant from which a row is visible to a run with an as_of; None = always.
    parent: the foreign key whose deleted or test target takes this row with it (rule E7).
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("id",)
    created: str | None = None
    parent: str | None = None
    salesforce: str = ""
    hubspot: str = ""
    _by_name: dict[str, Column] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._by_name.update((column.name, column) for column in self.columns)

    def __contains__(self, column: str) -> bool:
        return column in self._by_name

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        return self._by_name[name]

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def foreign_keys(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.references)

    @property
    def is_mergeable(self) -> bool:
        """True when rows can be merged into a surviving row (`merged_into_id`)."""
        return "merged_into_id" in self

    @property
    def events(self) -> tuple[str, ...]:
        """Instants that are read as null when they lie after as_of (rule P12)."""
        return tuple(
            column.name
            for column in self.columns
            if column.type == "timestamp" and column.name not in (self.created, "updated_at")
        )

    def arrow_schema(self, columns: Iterable[str] | None = None) -> pa.Schema:
        """The Arrow schema of these columns (all by default), in the dataset's order."""
        import pyarrow as pa

        wanted = set(self.column_names if columns is None else columns)
        return pa.schema(
            [
                pa.field(column.name, column.arrow_type)
                for column in self.columns
                if column.name in wanted
            ]
        )


@cache
def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a column type; money is decimal128(18,4), instants are UTC microseconds."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "money": pa.decimal128(18, 4),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
    return types[name]


COMMON_COLUMNS: tuple[Column, ...] = (
    Column("id", "string", nullable=False, about="record id as the source gives it",
           salesforce="Id", hubspot="hs_object_id"),
    Column("source", "string", nullable=False, about="source of the project file that gave the row",
           salesforce="set by the connector", hubspot="set by the connector"),
    Column("is_deleted", "bool", nullable=False, default=False,
           about="the source marks the record deleted or archived",
           salesforce="IsDeleted (query-all)", hubspot="archived"),
    Column("is_test", "bool", nullable=False, default=False,
           about="test, demo and internal records, by rules of the connector",
           salesforce="rule", hubspot="rule"),
    Column("updated_at", "timestamp",
           about="last change in the source; decides which copy of a key is the newest",
           salesforce="SystemModstamp", hubspot="hs_lastmodifieddate"),
)  # fmt: skip
"""Columns that every dataset has, exchange_rates excepted."""

_DEFAULTS: Mapping[str, bool | str] = {
    "is_trial": False,
    "is_automated": False,
    "is_escalated": False,
    "is_created_by_agent": False,
    "is_spam": False,
    "is_completed": True,
    "is_public": True,
    "is_success": True,
    "is_licensed": True,
    "is_required": True,
    "user_type": "human",
    "kpi_id": "won_amount",
}

_CREATED: Mapping[str, str] = {
    "accounts": "created_at",
    "contacts": "created_at",
    "leads": "created_at",
    "opportunities": "created_at",
    "opportunity_stage_history": "entered_at",
    "orders": "ordered_at",
    "campaign_members": "sent_at",
    "activities": "occurred_at",
    "cases": "created_at",
    "case_status_history": "entered_at",
    "case_messages": "sent_at",
    "survey_responses": "sent_at",
    "users": "created_at",
    "user_activity": "occurred_at",
    "training_enrollments": "assigned_at",
    "web_sessions": "started_at",
    "forecasts": "submitted_at",
}

_PARENTS: Mapping[str, str] = {
    "opportunity_stage_history": "opportunity_id",
    "opportunity_items": "opportunity_id",
    "order_items": "order_id",
    "case_status_history": "case_id",
    "case_messages": "case_id",
    "orders": "account_id",
    "subscriptions": "account_id",
}


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = (resources.files("crmetrics") / "canonical" / name).read_text(encoding="utf-8")
    return iter(csv.DictReader(text.splitlines()))


def _column(row: dict[str, str]) -> Column:
    kind: Any = row["type"]
    return Column(
        row["column"],
        kind,
        nullable=row["nullable"] == "yes",
        references=row["references"] or None,
        about=row["about"],
        default=_DEFAULTS.get(row["column"]),
        salesforce=row["salesforce"],
        hubspot=row["hubspot"],
    )


def canonical_datasets() -> dict[str, Dataset]:
    """The 27 canonical datasets by name, in the order of the documentation."""
    columns: dict[str, list[Column]] = {}
    keys: dict[str, list[str]] = {}
    for row in _rows("columns.csv"):
        columns.setdefault(row["dataset"], []).append(_column(row))
        if row["is_key"]:
            keys.setdefault(row["dataset"], []).append(row["column"])
    found = {}
    for row in _rows("datasets.csv"):
        name = row["dataset"]
        own_key = tuple(keys.get(name, ()))
        # exchange_rates has a natural key and none of the common columns but the source.
        common = (COMMON_COLUMNS[1],) if own_key else COMMON_COLUMNS
        found[name] = Dataset(
            name,
            row["about"],
            common + tuple(columns[name]),
            key=own_key or ("id",),
            created=_CREATED.get(name),
            parent=_PARENTS.get(name),
            salesforce=row["salesforce"],
            hubspot=row["hubspot"],
        )
    return found


def extend(datasets: Mapping[str, Dataset], additions: Iterable[Dataset]) -> dict[str, Dataset]:
    """`datasets` with further datasets, and with further columns for the ones that exist.

    Raises PluginError when an addition changes the type of a column that exists or brings a
    dataset of its own without a key column.
    """
    result = dict(datasets)
    for addition in additions:
        known = result.get(addition.name)
        if known is None:
            own = {column.name for column in addition.columns}
            common = tuple(column for column in COMMON_COLUMNS if column.name not in own)
            result[addition.name] = replace(addition, columns=common + addition.columns)
            continue
        for column in addition.columns:
            if column.name in known and known.column(column.name).type != column.type:
                raise PluginError(
                    f"dataset {addition.name!r}: column {column.name!r} is "
                    f"{known.column(column.name).type}, a plugin wants {column.type}. "
                    "Add the column under another name."
                )
        fresh = tuple(column for column in addition.columns if column.name not in known)
        result[addition.name] = replace(known, columns=known.columns + fresh)
    return result
