"""How a foreign key finds its row when several sources deliver.

A key resolves in the row's own source when that source supplies the referenced dataset; otherwise
in the only other source that supplies it; if several others do, only where the id is unique among
them. Every join along a foreign key is made of the pieces here, so that no two places disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from crmetrics.datasets import Column, Dataset
from crmetrics.warehouse.inventory import Inventory
from crmetrics.warehouse.placeholders import identifier, literal


class References(Struct, frozen=True):
    """The rule above, applied to what the warehouse holds.

    suppliers: the sources that supply a dataset. sources: all sources of the warehouse.
    """

    suppliers: Mapping[str, tuple[str, ...]]
    sources: tuple[str, ...]

    @classmethod
    def of(cls, inventory: Inventory, datasets: Mapping[str, Dataset]) -> References:
        suppliers = {name: tuple(sorted(inventory[name].sources)) for name in datasets}
        every = {source for found in suppliers.values() for source in found}
        return cls(suppliers, tuple(sorted(every)))

    def outsiders(self, dataset: str, among: Iterable[str] | None = None) -> tuple[str, ...]:
        """The sources (of `among`, by default all) that do not supply the dataset themselves."""
        own = self.suppliers[dataset]
        return tuple(name for name in (self.sources if among is None else among) if name not in own)

    def by_key_alone(self, dataset: str) -> bool:
        """True when one source supplies the dataset: the id alone finds the row."""
        return len(self.suppliers[dataset]) == 1

    def join(self, dataset: str, child: str, key: str, parent: str) -> str:
        """The condition that joins a temp table keyed by (source of the referring row, id)."""
        condition = f"{parent}.id = {child}.{identifier(key)}"
        if not self.by_key_alone(dataset):
            condition += f" and {parent}.source = {child}.source"
        return condition


def reference_condition(
    child_alias: str,
    parent_alias: str,
    fk: Column,
    references: References,
    *,
    child_sources: Iterable[str] | None = None,
) -> str:
    """The join condition from a row to the row that its foreign key names: at most one.

    child_alias: relation with `source` and the key. parent_alias: `live_{dataset}` of the
    referenced dataset. child_sources: the sources whose rows the child relation holds; None = any.
    May name the relation `ambiguous_{dataset}`, which `ComputeSession.prepare` makes.
    """
    parent = fk.references
    if parent is None:
        raise ValueError(f"{fk.name} is no foreign key")
    condition = f"{parent_alias}.id = {child_alias}.{identifier(fk.name)}"
    own = references.suppliers.get(parent, ())
    if len(own) == 1:
        return condition
    same = f"{parent_alias}.source = {child_alias}.source"
    outsiders = references.outsiders(parent, child_sources)
    if not own or not outsiders:
        return f"{condition} and {same}"
    listed = ", ".join(literal(source) for source in own)
    return (
        f"{condition} and ({same} or ({child_alias}.source not in ({listed}) "
        f"and {parent_alias}.id not in (select id from ambiguous_{parent})))"
    )


def ambiguous_ids(dataset: str) -> str:
    """`ambiguous_{dataset}` (id): ids that more than one source uses."""
    return (
        f"create or replace temp table ambiguous_{dataset} as\n"
        f"select id from crm.{identifier(dataset)} group by id having count(*) > 1"
    )


def source_macro(dataset: str, references: References) -> str:
    """The scalar macro `source_of_{dataset}(source, id)`: the source in which a reference resolves.

    The row's own source where it resolves nowhere, so that (source, id) still tells rows apart.
    """
    head = f"create or replace temp macro source_of_{dataset}(from_source, key) as\n"
    own = references.suppliers.get(dataset, ())
    if len(own) == 1:
        # The warehouse has one such source: every reference is into it.
        return f"{head}{literal(own[0])}"
    if not own or not references.outsiders(dataset):
        return f"{head}from_source"
    listed = ", ".join(literal(source) for source in own)
    return (
        f"{head}case when from_source in ({listed}) then from_source\n"
        f"else coalesce((select any_value(found.source) from crm.{identifier(dataset)} as found "
        "where found.id = key having count(*) = 1), from_source) end"
    )
