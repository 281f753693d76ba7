"""References that lead nowhere (rule E6): found after a load, so that a reader of numbers knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import Struct

from crmetrics.message import Note
from crmetrics.warehouse.compute import open_for_compute
from crmetrics.warehouse.placeholders import identifier, literal

if TYPE_CHECKING:
    from crmetrics.engine.project import Project
    from crmetrics.warehouse.compute import ComputeSession

_SHOWN = 3
_LOST = "lost_keys"


class Orphans(Struct, frozen=True):
    """Rows whose foreign key names no row (rule E6): they are kept, the dimension is `(none)`."""

    dataset: str
    key: str
    references: str
    rows: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(repr(value) for value in self.examples)
        return (
            f"{self.dataset}.{self.key}: {self.rows:,} rows point to no row of "
            f"{self.references} ({shown}); they count, their {self.references} are (none)"
        )

    @property
    def note(self) -> Note:
        what = "row" if self.rows == 1 else "rows"
        verb = "points" if self.rows == 1 else "point"
        place = f"{self.dataset}.{self.key}"
        return Note(
            str(self),
            f"{self.rows:,} {what} of {place} {verb} to no row of {self.references}; counted under "
            "(none)",
        )


class _Reference(Struct, frozen=True):
    """A foreign key to look at. condition: how its value `f.key` finds its row `t`."""

    dataset: str
    key: str
    references: str
    condition: str
    sources: tuple[str, ...]


def find_orphans(project: Project) -> tuple[Orphans, ...]:
    """Every foreign key with values that name no row, where both datasets were loaded.

    In the order of the datasets and of their columns.
    """
    datasets = project.registry.datasets
    view = project.view(project.clock(), ())
    with open_for_compute(project.engine_settings, datasets, view) as session:
        references = list(_references(session))
        alike: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, reference in enumerate(references):
            alike[reference.references, reference.condition].append(number)
        found = {}
        for numbers in alike.values():
            for number in _look_up(session, references, numbers):
                found[number] = _count(session, references[number], number)
    return tuple(orphans for _, orphans in sorted(found.items()) if orphans is not None)


def _references(session: ComputeSession) -> Iterator[_Reference]:
    held = session.inventory
    for dataset in session.datasets.values():
        if not held[dataset.name].rows:
            continue
        for key in dataset.foreign_keys:
            target = key.references or ""
            if key.name in held[dataset.name].columns and held[target].exists:
                column = replace(key, name="key")
                condition = session.reference_condition("f", "t", column, dataset.name)
                sources = tuple(held[dataset.name].by_source)
                yield _Reference(dataset.name, key.name, target, condition, sources)


def _look_up(
    session: ComputeSession, references: Sequence[_Reference], numbers: Sequence[int]
) -> list[int]:
    """Leave the values that lead nowhere in _LOST; the numbers of the keys that have any.

    Each value is looked up once, and all keys to one dataset together: its ids, often the most of
    the work, are gone through once.
    """
    used = "\n  union all\n".join(f"  {_used(references[n], n)}" for n in numbers)
    first = references[numbers[0]]
    sql = (
        f"create or replace temp table {_LOST} as\nwith used as (\n{used}\n)\n"
        f"select * from used f\n"
        f"where not exists (select 1 from crm.{first.references} t where {first.condition})"
    )
    session.prepare(sql)
    session.execute(sql)
    return [int(number) for (number,) in session.rows(f"select distinct number from {_LOST}")]


def _used(reference: _Reference, number: int) -> str:
    source = literal(reference.sources[0]) if len(reference.sources) == 1 else "stored.source"
    key = f"stored.{identifier(reference.key)}"
    return (
        f"select {number} as number, {source} as source, {key} as key "
        f"from crm.{reference.dataset} stored where {key} is not null group by all"
    )


def _count(session: ComputeSession, reference: _Reference, number: int) -> Orphans | None:
    """The rows that KPIs see behind the lost values of a key; None when there is none.

    A statement of its own: with the search above it, DuckDB goes through every row of the view even
    where no value is lost, and takes several times as long where some are.
    """
    key = f"f.{identifier(reference.key)}"
    same = f"lost.key = {key}"
    if len(reference.sources) > 1:
        same += " and lost.source = f.source"
    sql = (
        f"select count(*), list(distinct {key} order by {key})[:{_SHOWN}]\n"
        f"from live_{reference.dataset} f\n"
        f"semi join (select source, key from {_LOST} where number = {number}) lost on {same}"
    )
    session.prepare(sql)
    ((rows, examples),) = session.rows(sql)
    if not rows:
        return None
    return Orphans(
        reference.dataset, reference.key, reference.references, int(rows), tuple(examples or ())
    )
