"""`live_{dataset}`: a dataset as KPIs see it, and `excluded_{dataset}`: what was left out and why.

Both are views over `crm.{dataset}`, so a query reads only the columns it asks for. What the rules
need beyond the row itself stands in small temp tables, made only where the warehouse holds merged,
deleted, test or spam records:

    removed_{dataset}    what was left out, for many readers; a view where it is much
    merged_{dataset}     (source, id, survivor_id)  where a merged record has gone
    earliest_{dataset}   (source, id, created_at)   earliest creation in a survivor's merge group
    gone_{dataset}       (source, id)               records that take their children with them
    ambiguous_{dataset}  (id)                       ids that several sources use

`source` of `merged_` and `gone_` is that of the row that refers to the record: see `references`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from crmetrics.datasets import Column, Dataset
from crmetrics.warehouse.inventory import Inventory
from crmetrics.warehouse.placeholders import identifier, literal
from crmetrics.warehouse.references import References, ambiguous_ids
from crmetrics.warehouse.schema import default_of

REASONS = ("merged", "deleted", "test", "spam", "parent")
"""Why a row is excluded; of several the first (a merge also deletes the loser in the source)."""

_UNMOVED = frozenset({"cases"})
"""Datasets whose merged records keep their children and their own creation (rule E8)."""

_FEW = 0.1
"""Share of the rows of a dataset, and of its parents, up to which excluded rows are kept."""

_TOLD_BY = {("orders", "refunded_amount"): "refunded_at"}
"""Amounts that become known with an event: without it a later refund would be booked as if it had
no date, on the day of the order (rule P12)."""


class LiveRelations(Struct, frozen=True):
    """Texts of the relations above, the cheapest that are right for what the warehouse holds.

    stored_columns: the columns that the table of a dataset has; a plugin may have added further
    ones since the last load. has_ring: whether records of a dataset were merged into each other in
    a circle; then the one with the smallest id survives, so that it is counted once and not lost.
    """

    datasets: Mapping[str, Dataset]
    inventory: Inventory
    references: References
    as_of: datetime
    stored_columns: Callable[[str], Collection[str]]
    has_ring: Callable[[str], bool]

    @property
    def names(self) -> Iterator[str]:
        for dataset in self.datasets.values():
            yield from (f"live_{dataset.name}", f"excluded_{dataset.name}")
            yield f"removed_{dataset.name}"
            if "id" in dataset:
                yield from (f"gone_{dataset.name}", f"ambiguous_{dataset.name}")
            if dataset.is_mergeable:
                yield f"merged_{dataset.name}"
            if dataset.is_mergeable and dataset.created:
                yield f"earliest_{dataset.name}"

    def text(self, name: str) -> str:
        """The statement that makes the relation `name` (one of `names`)."""
        kind, _, dataset = name.partition("_")
        texts: dict[str, Callable[[Dataset], str]] = {
            "live": self._live,
            "excluded": self._excluded,
            "removed": self._removed,
            "merged": self._merged,
            "earliest": self._earliest,
            "gone": self._gone,
            "ambiguous": self._ambiguous,
        }
        return texts[kind](self.datasets[dataset])

    # --- what the warehouse holds ------------------------------------------------------------

    def _exists(self, dataset: Dataset) -> bool:
        return self.inventory[dataset.name].exists

    def _stores(self, dataset: Dataset, column: str | None) -> bool:
        return column in self.stored_columns(dataset.name)

    def _has_merged(self, name: str | None) -> bool:
        dataset = self.datasets.get(name or "")
        if dataset is None or not dataset.is_mergeable:
            return False
        return self.inventory[dataset.name].merged > 0

    def _flags(self, dataset: Dataset) -> list[tuple[str, str]]:
        """(reason, column) of the flags that exclude at least one row."""
        found = self.inventory[dataset.name]
        counts = {"deleted": found.deleted, "test": found.test, "spam": found.spam}
        return [
            (reason, f"is_{reason}")
            for reason in REASONS
            if counts.get(reason) and f"is_{reason}" in dataset
        ]

    def _parent(self, dataset: Dataset) -> Column | None:
        """The foreign key to a parent that takes at least one row with it (rule E7)."""
        if dataset.parent is None:
            return None
        key = dataset.column(dataset.parent)
        takes = bool(key.references) and self._has_gone(key.references or "")
        return key if takes and self._stores(dataset, key.name) else None

    def _has_gone(self, name: str) -> bool:
        dataset = self.datasets.get(name)
        if dataset is None or not self._exists(dataset):
            return False
        is_left_by_merge = name in _UNMOVED and self._has_merged(name)
        return bool(self._flags(dataset)) or is_left_by_merge or self._parent(dataset) is not None

    def _moved_keys(self, dataset: Dataset) -> list[Column]:
        """Foreign keys that are re-pointed to the survivors of merges."""
        return [
            key
            for key in dataset.foreign_keys
            if self._has_merged(key.references)
            and self._stores(dataset, key.name)
            and key.name != "merged_into_id"
            and not (key.name == dataset.parent and key.references in _UNMOVED)
        ]

    def _has_earlier(self, dataset: Dataset) -> bool:
        return (
            self._has_merged(dataset.name)
            and dataset.name not in _UNMOVED
            and self._stores(dataset, dataset.created)
        )

    # --- columns -----------------------------------------------------------------------------

    def _created(self, dataset: Dataset) -> str:
        own = f"stored.{identifier(dataset.created or '')}"
        # least() ignores nulls: a row that no merge concerns keeps its own.
        return f"least({own}, earliest.created_at)" if self._has_earlier(dataset) else own

    def _value(self, dataset: Dataset, column: Column) -> str:
        stored = f"stored.{identifier(column.name)}"
        if column.name == dataset.created:
            return self._created(dataset)
        if column.name in dataset.events:
            return f"case when {stored} <= {literal(self.as_of)} then {stored} end"
        if told_by := _TOLD_BY.get((dataset.name, column.name)):
            event = f"stored.{told_by}"
            return f"case when ({event} > {literal(self.as_of)}) is not true then {stored} end"
        if column in self._moved_keys(dataset):
            return f"coalesce({_alias(column)}.survivor_id, {stored})"
        return stored

    def _columns(self, dataset: Dataset, merged_into: str) -> str:
        values = []
        for column in dataset.columns:
            name = identifier(column.name)
            if column.expression:
                continue
            if not self._stores(dataset, column.name):
                value = f"{default_of(column)}::{column.sql_type}"
            elif column.name == "merged_into_id" and self._has_merged(dataset.name):
                value = merged_into
            else:
                value = self._value(dataset, column)
            values.append(value if value == f"stored.{name}" else f"{value} as {name}")
        return ",\n    ".join(values)

    # --- joins -------------------------------------------------------------------------------

    def _survivors(self, name: str, key: str, alias: str) -> str:
        """The join that finds where the record named by a key was merged into.

        Grouped, because DuckDB drops a left join to unique keys when nobody reads its column.
        """
        keys = "id" if self.references.by_key_alone(name) else "source, id"
        return (
            f"left join (select {keys}, any_value(survivor_id) as survivor_id "
            f"from merged_{name} group by {keys}) as {alias}\n"
            f"    on {self.references.join(name, 'stored', key, alias)}"
        )

    def _joins(self, dataset: Dataset) -> list[str]:
        joins = [
            self._survivors(key.references or "", key.name, _alias(key))
            for key in self._moved_keys(dataset)
        ]
        if self._has_earlier(dataset):
            joins.append(
                f"left join earliest_{dataset.name} as earliest\n"
                "    on earliest.source = stored.source and earliest.id = stored.id"
            )
        return joins

    def _visible(self, dataset: Dataset) -> list[str]:
        if not self._stores(dataset, dataset.created):
            return []
        created = self._created(dataset)
        return [f"({created} <= {literal(self.as_of)} or {created} is null)"]

    # --- views -------------------------------------------------------------------------------

    def _live(self, dataset: Dataset) -> str:
        head = f"create or replace temp view live_{dataset.name} as\n"
        if not self._exists(dataset):
            return head + _nothing(dataset)
        joins = self._joins(dataset)
        wanted = [f"stored.{flag} is not true" for _, flag in self._flags(dataset)]
        if self._has_merged(dataset.name):
            if self.has_ring(dataset.name):
                joins.append(
                    f"anti join merged_{dataset.name} as loser\n"
                    "    on loser.source = stored.source and loser.id = stored.id"
                )
            else:
                wanted.append("stored.merged_into_id is null")
        if parent := self._parent(dataset):
            # An anti join, because DuckDB runs `not exists` several times slower.
            found = self.references.join(parent.references or "", "stored", parent.name, "gone")
            joins.append(f"anti join gone_{parent.references} as gone\n    on {found}")
        wanted += self._visible(dataset)
        text = _select(dataset, self._columns(dataset, "null::varchar"), joins, wanted)
        return head + _computed(dataset, text)

    def reasons(self, name: str) -> tuple[str, ...]:
        """The reasons for which rows of a dataset may have been left out; empty = none was."""
        dataset = self.datasets[name]
        return tuple(self._tests(dataset)) if self._exists(dataset) else ()

    def _tests(self, dataset: Dataset) -> dict[str, str]:
        """Reason -> what is true for the rows that are left out for it, by precedence."""
        found = {}
        if self._has_merged(dataset.name):
            found["merged"] = "own_merge.survivor_id is not null"
        found |= {reason: f"stored.{flag}" for reason, flag in self._flags(dataset)}
        if parent := self._parent(dataset):
            name, key = parent.references or "", f"stored.{identifier(parent.name)}"
            found["parent"] = f"{key} in (select id from gone_{name})"
            if not self.references.by_key_alone(name):
                found["parent"] = f"(stored.source, {key}) in (select source, id from gone_{name})"
        return found

    def _excluded(self, dataset: Dataset) -> str:
        head = f"create or replace temp view excluded_{dataset.name} as\n"
        if not self.reasons(dataset.name):
            return head + _nothing(dataset, "null::varchar as _reason")
        joins = self._joins(dataset)
        if self._has_merged(dataset.name):
            joins.append(self._survivors(dataset.name, "id", "own_merge"))
        cases = "\n        ".join(
            f"when {test} then '{reason}'" for reason, test in self._tests(dataset).items()
        )
        columns = self._columns(dataset, "own_merge.survivor_id")
        columns += f",\n    case\n        {cases}\n    end as _reason"
        inner = _select(dataset, columns, joins, self._visible(dataset))
        return head + _computed(dataset, f"select * from (\n{inner}\n)\nwhere _reason is not null")

    def _removed(self, dataset: Dataset) -> str:
        kind = "table" if self.excludes_few(dataset.name) else "view"
        head = f"create or replace temp {kind} removed_{dataset.name} as\n"
        return f"{head}select * from excluded_{dataset.name}"

    def excludes_few(self, name: str) -> bool:
        """Whether so few rows of a dataset are excluded that they may be kept."""
        return self._excluded_share(self.datasets[name]) <= _FEW

    def _excluded_share(self, dataset: Dataset) -> float:
        """About which part of the rows is excluded, those with a parent that is gone included."""
        held = self.inventory[dataset.name]
        own = (held.deleted + held.test + held.merged + held.spam) / max(1, held.rows)
        parent = self._parent(dataset)
        if parent is None or parent.references is None:
            return own
        return own + self._excluded_share(self.datasets[parent.references])

    # --- temp tables -------------------------------------------------------------------------

    def _merged(self, dataset: Dataset) -> str:
        head = f"create or replace temp table merged_{dataset.name} as\n"
        if not self._exists(dataset):
            return head + _no_rows("source", "id", "survivor_id")
        return (
            f"{head}{_steps(dataset.name)},\n"
            "rings as (select source, id from steps where id = reached),\n"
            "survivors as (\n"
            "    select steps.source, steps.id, coalesce(\n"
            "        min(steps.reached) filter (where losers.id is null),\n"
            "        min(steps.reached) filter (where rings.id is not null)) as survivor_id\n"
            "    from steps\n"
            "    left join losers on losers.source = steps.source and losers.id = steps.reached\n"
            "    left join rings on rings.source = steps.source and rings.id = steps.reached\n"
            "    group by steps.source, steps.id\n"
            "),\n"
            "found as (select source, id, survivor_id from survivors where id <> survivor_id)\n"
            f"{self._for_every_source(dataset.name, 'survivor_id')}"
        )

    def _earliest(self, dataset: Dataset) -> str:
        head = f"create or replace temp table earliest_{dataset.name} as\n"
        created = identifier(dataset.created or "")
        if not self._has_earlier(dataset):
            return head + _no_rows("source", "id", created_at="timestamptz")
        return (
            f"{head}select loser.source, loser.survivor_id as id, "
            f"min(stored.{created}) as created_at\n"
            f"from merged_{dataset.name} as loser\n"
            f"join crm.{identifier(dataset.name)} as stored\n"
            "    on stored.source = loser.source and stored.id = loser.id\n"
            "group by loser.source, loser.survivor_id"
        )

    def _gone(self, dataset: Dataset) -> str:
        head = f"create or replace temp table gone_{dataset.name} as\n"
        if not self._has_gone(dataset.name):
            return head + _no_rows("source", "id")
        table = f"crm.{identifier(dataset.name)}"
        flags = " or ".join(flag for _, flag in self._flags(dataset)) or "false"
        parts = [f"select source, id from {table} where {flags}"]
        if self._has_merged(dataset.name):
            parts = _with_merged(dataset.name, parts[0])
        if parent := self._parent(dataset):
            found = self.references.join(parent.references or "", "stored", parent.name, "gone")
            parts.append(
                f"select stored.source, stored.id from {table} as stored\n"
                f"    semi join gone_{parent.references} as gone on {found}"
            )
        union = "\n    union\n    ".join(parts)
        return f"{head}with found as (\n    {union}\n)\n{self._for_every_source(dataset.name)}"

    def _for_every_source(self, name: str, *further: str) -> str:
        """The rows of `found` once more for each source that refers to them from outside."""
        more = "".join(f", found.{column}" for column in further)
        text = f"select found.source, found.id{more} from found"
        outsiders = self.references.outsiders(name)
        if outsiders:
            listed = ", ".join(f"({literal(source)})" for source in outsiders)
            text += (
                f"\nunion all\nselect outsider.source, found.id{more} from found\n"
                f"cross join (values {listed}) as outsider(source)"
            )
            if not self.references.by_key_alone(name):
                text += f"\nwhere found.id not in (select id from ambiguous_{name})"
        return text

    def _ambiguous(self, dataset: Dataset) -> str:
        if not self._exists(dataset):
            return f"create or replace temp table ambiguous_{dataset.name} as\n{_no_rows('id')}"
        return ambiguous_ids(dataset.name)


def ring_query(name: str) -> str:
    """Whether records of a mergeable dataset were merged in a circle (one row, one boolean)."""
    return f"{_steps(name)}\nselect count(*) > 0 from steps where id = reached"


def _steps(name: str) -> str:
    # `union` and not `union all`: a circle ends when it brings nothing new.
    return (
        "with recursive losers as (\n"
        f"    select source, id, merged_into_id from crm.{identifier(name)}\n"
        "    where merged_into_id is not null\n"
        "),\n"
        "steps as (\n"
        "    select source, id, merged_into_id as reached from losers\n"
        "    union\n"
        "    select steps.source, steps.id, losers.merged_into_id from steps\n"
        "    join losers on losers.source = steps.source and losers.id = steps.reached\n"
        ")"
    )


def _with_merged(name: str, flagged: str) -> list[str]:
    """Gone records where merges exist; `flagged` gives the deleted, test and spam ones."""
    if name in _UNMOVED:
        return [flagged, f"select source, id from merged_{name}"]
    # A merged record is as gone as its survivor, whatever its own flags say.
    return [
        f"select flagged.source, flagged.id from ({flagged}) as flagged\n"
        f"    anti join merged_{name} as loser\n"
        "    on loser.source = flagged.source and loser.id = flagged.id",
        f"select loser.source, loser.id from merged_{name} as loser\n"
        f"    semi join ({flagged}) as flagged\n"
        "    on flagged.source = loser.source and flagged.id = loser.survivor_id",
    ]


def _alias(key: Column) -> str:
    return identifier(f"{key.reference_name}_merge")


def _no_rows(*texts: str, **further: str) -> str:
    """A query without rows: text columns, then columns of other types."""
    kinds = dict.fromkeys(texts, "varchar") | further
    return (
        f"select {', '.join(f'null::{kind} as {name}' for name, kind in kinds.items())} where false"
    )


def _select(dataset: Dataset, columns: str, joins: list[str], wanted: list[str]) -> str:
    lines = [f"select\n    {columns}", f"from crm.{identifier(dataset.name)} as stored", *joins]
    if wanted:
        lines.append("where " + "\n    and ".join(wanted))
    return "\n".join(lines)


def _computed(dataset: Dataset, text: str) -> str:
    """The rows with the columns that are computed of the others."""
    computed = [
        f"{column.expression} as {identifier(column.name)}"
        for column in dataset.columns
        if column.expression
    ]
    return f"select *, {', '.join(computed)}\nfrom (\n{text}\n)" if computed else text


def _nothing(dataset: Dataset, *further: str) -> str:
    columns = [
        f"null::{column.sql_type} as {identifier(column.name)}" for column in dataset.columns
    ]
    return "select\n    " + ",\n    ".join([*columns, *further]) + "\nwhere false"
