"""Read sessions: a locked-down connection that makes live and derived relations on demand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from crmetrics.datasets import Column, Dataset
from crmetrics.errors import ConfigError, did_you_mean
from crmetrics.warehouse.connection import Connection, EngineSettings, connect, connect_scratch
from crmetrics.warehouse.derived import CustomerModel, DerivedRelations, ViewSettings
from crmetrics.warehouse.inventory import Inventory, inventory
from crmetrics.warehouse.live import LiveRelations, ring_query
from crmetrics.warehouse.placeholders import identifier, words
from crmetrics.warehouse.references import References, reference_condition
from crmetrics.warehouse.schema import stored_columns, table_columns

if TYPE_CHECKING:
    import pyarrow as pa


class ComputeSession:
    """What the compiler computes with. Not for several threads; use it as a context manager.

    A relation is made when it is first asked for, with everything it reads, as a temp view, temp
    table or temp macro of this connection; the warehouse file is not written.
    """

    def __init__(
        self, connection: Connection, datasets: Mapping[str, Dataset], view: ViewSettings
    ) -> None:
        self._connection = connection
        self.datasets = datasets
        self._columns: dict[str, frozenset[str]] = {}
        self._rings: dict[str, bool] = {}
        self._made: dict[str, str] = {}
        self._needs: dict[str, tuple[str, ...]] = {}
        self.view = view
        self.inventory: Inventory = inventory(connection, datasets)
        self.references = References.of(self.inventory, datasets)
        self._live = LiveRelations(
            datasets,
            self.inventory,
            self.references,
            view.as_of,
            self._stored_columns,
            self._has_ring,
        )
        self._derived = DerivedRelations(datasets, self.inventory, self.references, view)

    # --- relations ---------------------------------------------------------------------------

    @cached_property
    def relations(self) -> frozenset[str]:
        """The names of everything that `relation` can make."""
        return frozenset(self._makers)

    @cached_property
    def _makers(self) -> dict[str, LiveRelations | DerivedRelations]:
        makers: dict[str, LiveRelations | DerivedRelations] = dict.fromkeys(
            self._live.names, self._live
        )
        return makers | dict.fromkeys(self._derived.names, self._derived)

    @property
    def customer_model(self) -> CustomerModel:
        """The model behind `customer_spells` in this session."""
        return self._derived.customer_model

    def relation(self, name: str) -> None:
        """Make sure that the relation or macro `name` exists, and all it reads.

        Raises ConfigError when there is no such relation.
        """
        if name not in self.relations:
            hint = did_you_mean(name, self.relations)
            raise ConfigError(f"there is no dataset or view {name!r}. {hint}".rstrip())
        self._make(name, frozenset())

    def is_made(self, name: str) -> bool:
        """Whether anything has asked for the relation `name` before."""
        return name in self._made

    def prepare(self, sql: str) -> tuple[str, ...]:
        """Make every relation and macro that `sql` names; their names."""
        named = tuple(sorted(self.relations & words(sql)))
        for name in named:
            self.relation(name)
        return named

    def text(self, name: str) -> str:
        """The statement that makes a relation or macro; it is made."""
        self.relation(name)
        return self._made[name]

    def prelude(self, names: Iterable[str]) -> list[str]:
        """The statements that make these relations, in an order that runs as it stands.

        They can be pasted into DuckDB over the warehouse file.
        """
        wanted: set[str] = set()
        waiting = list(names)
        for name in waiting:
            self.relation(name)
        while waiting:
            name = waiting.pop()
            if name not in wanted:
                wanted.add(name)
                waiting.extend(self._needs[name])
        return [text for name, text in self._made.items() if name in wanted]

    def _make(self, name: str, within: frozenset[str]) -> None:
        if name in self._made:
            return
        text = self._makers[name].text(name)
        within = within | {name}
        # A relation under construction is named by a column or a table of an inner query only.
        needs = tuple(sorted((self.relations & words(text)) - within))
        for need in needs:
            self._make(need, within)
        self._connection.execute(text)
        self._made[name] = text
        self._needs[name] = needs

    def _stored_columns(self, dataset: str) -> Collection[str]:
        if dataset not in self._columns:
            # What was synced has a table; to ask for it costs more than its columns.
            read = table_columns if self.inventory[dataset].exists else stored_columns
            self._columns[dataset] = frozenset(read(self._connection, dataset))
        return self._columns[dataset]

    def table_of(self, dataset: str, column: str) -> str:
        """The table that stores a column of a dataset, of left-out records too; empty = none, or a
        column that is computed now and may have been stored under the same name before."""
        is_computed = bool(self.datasets[dataset].column(column).expression)
        is_stored = column in self._stored_columns(dataset) and not is_computed
        return f"crm.{identifier(dataset)}" if is_stored else ""

    def _has_ring(self, dataset: str) -> bool:
        if dataset not in self._rings:
            self._rings[dataset] = bool(self._connection.scalar(ring_query(dataset)))
        return self._rings[dataset]

    def reference_condition(
        self, child_alias: str, parent_alias: str, fk: Column, child_dataset: str | None = None
    ) -> str:
        """The many-to-one join condition along a foreign key: see `references`.

        child_dataset: the dataset that the child relation's rows come from; None = several.
        """
        sources = None if child_dataset is None else self.references.suppliers[child_dataset]
        return reference_condition(
            child_alias, parent_alias, fk, self.references, child_sources=sources
        )

    def reasons(self, dataset: str) -> tuple[str, ...]:
        """Why quality rules may have left out rows of a dataset; empty = they left out none."""
        return self._live.reasons(dataset)

    def excludes_few(self, dataset: str) -> bool:
        """Whether so few rows of a dataset are excluded that they may be kept."""
        return self._live.excludes_few(dataset)

    # --- statements --------------------------------------------------------------------------

    def describe(self, relation_or_sql: str) -> dict[str, str]:
        """Column -> DuckDB type of a relation or of one query, bound and not run."""
        text = relation_or_sql.strip()
        self.prepare(text)
        query = f"select * from {text}" if text in self.relations else text.rstrip(";")
        rows = self._connection.rows(f"describe select * from (\n{query}\n)")
        return {str(row[0]): str(row[1]) for row in rows}

    def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def arrow(self, sql: str) -> pa.Table:
        """The result as Arrow; instants carry the reporting zone."""
        return self._connection.arrow(sql)

    def reader(self, sql: str) -> pa.RecordBatchReader:
        """The result as a stream; read or close it before the next statement."""
        return self._connection.reader(sql)

    def rows(self, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """A small result as Python values."""
        return self._connection.rows(sql, params)

    def scalar(self, sql: str) -> Any:
        """The first value of the first row; None when there is no row."""
        return self._connection.scalar(sql)

    def register(self, name: str, table: Any) -> None:
        """Make an Arrow table readable as `name` in this session."""
        self._connection.register(name, table)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_for_compute(
    settings: EngineSettings, datasets: Mapping[str, Dataset], view: ViewSettings
) -> ComputeSession:
    """A session over the warehouse file, read-only and locked down.

    Raises WarehouseError when there is no such file or it cannot be read, WarehouseLockedError when
    another process keeps it.
    """
    return _session(connect(settings, read_only=True), datasets, view)


def open_for_binding(datasets: Mapping[str, Dataset], view: ViewSettings) -> ComputeSession:
    """A session over no data at all: every relation has its columns and types, and no rows.

    For checking definitions before anything is loaded.
    """
    return _session(connect_scratch(view.calendar.timezone), datasets, view)


def _session(
    connection: Connection, datasets: Mapping[str, Dataset], view: ViewSettings
) -> ComputeSession:
    try:
        return ComputeSession(connection, datasets, view)
    except BaseException:
        connection.close()
        raise
