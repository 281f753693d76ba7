"""What a measure can read: relations with their columns, and the many-to-one ways out of them.

A column is named by itself, or along declared foreign keys as `ref.column`, where `ref` is the
key's name without `_id`. Dimensions may also use the short names of rule S6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct, field

from crmetrics.catalog import DerivedDimension
from crmetrics.datasets import Column, Dataset
from crmetrics.errors import UsageError, did_you_mean

_ALIAS_ORDER = ("owner_id", "user_id", "account_id", "product_id", "campaign_id")
_PARENT_KEYS = ("order_id", "opportunity_id", "case_id")
FIRST_LEAD = "first_lead"
_FIRST_LEAD_COLUMNS = ("lead_source", "campaign_id")
VIRTUAL_SUFFIXES = ("_rc", "_cc", "_day")


class Path(Struct, frozen=True):
    """A column and the foreign keys that lead to it; no hops = a column of the fact itself."""

    hops: tuple[str, ...]
    column: str

    @property
    def name(self) -> str:
        """How the fact exposes it: `owner.team`."""
        return ".".join([*(hop.removesuffix("_id") for hop in self.hops), self.column])

    @property
    def alias(self) -> str:
        """The alias of the joined relation; hops joined by two underscores."""
        return alias_of(self.hops)


_RESERVED = frozenset({"case", "column", "group", "order", "table", "window"})
"""Names of references that SQL reserves, and that a plugin may well add to."""


def alias_of(hops: Iterable[str]) -> str:
    """The SQL alias at the end of a path: `owner`, `opportunity__account`, `case_`."""
    alias = "__".join(hop.removesuffix("_id") for hop in hops)
    return f"{alias}_" if alias in _RESERVED else alias


class Relation(Struct, frozen=True):
    """A dataset, derived view or model: column names with their DuckDB types."""

    name: str
    columns: Mapping[str, str]
    dataset: Dataset | None = None

    def money_columns(self) -> tuple[str, ...]:
        return tuple(c for c, kind in self.columns.items() if kind.startswith("DECIMAL"))

    def instants(self) -> tuple[str, ...]:
        return tuple(c for c, kind in self.columns.items() if "WITH TIME ZONE" in kind)


class Schema(Struct):
    """Everything a definition may name, and how names resolve.

    describe: column types of a derived view or model, asked only for relations that are no
    dataset. dimensions: derived dimensions by name.
    """

    datasets: Mapping[str, Dataset]
    describe: Callable[[str], Mapping[str, str]]
    dimensions: Mapping[str, tuple[DerivedDimension, ...]] = field(default_factory=dict)
    _relations: dict[str, Relation] = field(default_factory=dict)
    _keys: dict[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for dataset in self.datasets.values():
            for column in dataset.foreign_keys:
                if column.name not in ("merged_into_id", "parent_account_id"):
                    self._keys.setdefault(column.name, column)

    def relation(self, name: str) -> Relation:
        if name not in self._relations:
            dataset = self.datasets.get(name)
            if dataset is not None:
                types = {c.name: _described(c) for c in dataset.columns}
            else:
                types = dict(self.describe(name))
            self._relations[name] = Relation(name, types, dataset)
        return self._relations[name]

    def key(self, relation: Relation, column: str) -> Column | None:
        """The foreign key behind a column; models and views use the datasets' key names."""
        if column not in relation.columns:
            return None
        if relation.dataset is not None:
            own = relation.dataset.column(column)
            return own if own.references else None
        return self._keys.get(column)

    def target(self, relation: Relation, hop: str) -> Relation | None:
        """The relation that a foreign key of `relation` leads to."""
        if hop == FIRST_LEAD:
            return self.relation("account_first_lead")
        key = self.key(relation, hop)
        return self.relation(key.references) if key is not None and key.references else None

    def keys(self, relation: Relation) -> list[str]:
        return [c for c in relation.columns if self.key(relation, c) is not None]

    # --- names to paths --------------------------------------------------------------------------

    def column_path(self, relation: Relation, name: str) -> Path | None:
        """The path of `column` or `ref.column`, strictly; None when there is no such column."""
        *refs, column = name.split(".")
        hops: list[str] = []
        for ref in refs:
            hop = f"{ref}_id"
            following = self.target(relation, hop)
            if following is None:
                return None
            hops.append(hop)
            relation = following
        if not self.has(relation, column):
            if relation.name == "accounts" and column in _FIRST_LEAD_COLUMNS:
                return Path((*hops, FIRST_LEAD), column)
            return None
        return Path(tuple(hops), column)

    def has(self, relation: Relation, column: str) -> bool:
        """True for a column of the relation, or a virtual one such as `amount_rc`."""
        if column in relation.columns:
            return True
        base = virtual_base(column)
        return base is not None and base in relation.columns

    def dimension_path(self, relation: Relation, name: str) -> Path | None:
        """The path of a dimension by its own name, `ref.column` or a short name (S6)."""
        direct = self.column_path(relation, name)
        if direct is not None:
            return direct
        if "." in name:
            return self._along_parent(relation, name)
        return self._along_alias(relation, name, ()) or self._along_only_key(relation, name)

    def _along_alias(self, relation: Relation, name: str, hops: tuple[str, ...]) -> Path | None:
        if hops and name in relation.columns:
            return Path(hops, name)
        for hop in _ALIAS_ORDER:
            target = self.target(relation, hop)
            if target is None:
                continue
            if name in target.columns:
                return Path((*hops, hop), name)
            if target.name == "accounts" and name in _FIRST_LEAD_COLUMNS:
                return Path((*hops, hop, FIRST_LEAD), name)
        for hop in _PARENT_KEYS:
            target = self.target(relation, hop)
            if target is not None and hop not in hops:
                found = self._along_alias(target, name, (*hops, hop))
                if found is not None:
                    return found
        return None

    def _along_parent(self, relation: Relation, name: str) -> Path | None:
        """`owner.team` of a deal's history is that of the deal."""
        for hop in _PARENT_KEYS:
            target = self.target(relation, hop)
            if target is not None and target.name != relation.name:
                found = self.column_path(target, name) or self._along_parent(target, name)
                if found is not None:
                    return Path((hop, *found.hops), found.column)
        return None

    def _along_only_key(self, relation: Relation, name: str) -> Path | None:
        found = []
        for hop in self.keys(relation):
            target = self.target(relation, hop)
            if target is not None and name in target.columns:
                found.append(Path((hop,), name))
        return found[0] if len(found) == 1 else None

    def along(self, relation: Relation, hops: Iterable[str]) -> Iterator[Relation]:
        """The relations behind these keys, each followed from the one before."""
        for hop in hops:
            following = self.target(relation, hop)
            assert following is not None, (relation.name, hop)
            yield following
            relation = following

    def derived(self, relation: Relation, name: str) -> DerivedDimension | None:
        # A model rendered with other settings has a number behind its name.
        own = relation.name.partition("__")[0]
        for dimension in self.dimensions.get(name, ()):
            if own in dimension.on or (not dimension.on and name not in relation.columns):
                return dimension
        return None

    def dimension_names(self, relation: Relation) -> list[str]:
        """Every dimension a fact over this relation has, for lists and suggestions."""
        names = list(relation.columns)
        for hop in self.keys(relation):
            target = self.target(relation, hop)
            if target is not None:
                names += [f"{hop.removesuffix('_id')}.{column}" for column in target.columns]
                if hop in _ALIAS_ORDER:
                    names += target.columns
        names += [name for name in self.dimensions if self.derived(relation, name)]
        return names

    def no_dimension(self, relation: Relation, name: str, kpi: str) -> UsageError:
        known = self.dimension_names(relation)
        hint = did_you_mean(name, known)
        if not hint:
            plain = [n for n in known if "." not in n and n not in ("id", "source")]
            hint = f"Its rows have: {', '.join(sorted(plain)[:12])}."
        return UsageError(f"{kpi} has no dimension {name!r}. {hint}")


def virtual_base(column: str) -> str | None:
    """`amount` for `amount_rc` (reporting currency at the event's rate), `amount_cc` (at the rate
    of the as_of day) and, for an instant, `created_at_day` (its local day)."""
    for suffix in VIRTUAL_SUFFIXES:
        if column.endswith(suffix) and len(column) > len(suffix):
            return column.removesuffix(suffix)
    return None


def _described(column: Column) -> str:
    names = {"timestamp": "TIMESTAMP WITH TIME ZONE"}
    return names.get(column.type, column.sql_type)
