"""The layout of the warehouse file, and how it follows the datasets without losing data.

    crm.<dataset>     the rows: one per (source, key), all columns of the dataset, and two hidden
                      ones: _part (the file that gave the row), _loaded_at (rows of one load are a
                      microsecond apart, in order of arrival)
    spare.<dataset>   copies of a row that another part gave too and that lost to a newer copy;
                      they come back when the part of the newer copy goes
    meta.version      layout of this file
    meta.syncs, sync_state, rejected_rows, delivered_columns, row_counts
                      what was read, from where, how far, and what was set aside

There is no primary key: it would make the file 1.7 times as large. The load keeps rows unique.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crmetrics._version import __version__
from crmetrics.datasets import Column, Dataset
from crmetrics.errors import QueryError, WarehouseError
from crmetrics.warehouse.connection import Connection
from crmetrics.warehouse.faults import opening_error
from crmetrics.warehouse.statements import literal, quoted

LAYOUT = 1
"""Version of the layout. Raise it with an entry in MIGRATIONS when a table of `meta` changes."""

MIGRATIONS: Mapping[int, tuple[str, ...]] = {}
"""Statements that lift a file from the layout of the key to the next one."""

HIDDEN_COLUMNS: dict[str, str] = {"_part": "VARCHAR", "_loaded_at": "TIMESTAMPTZ"}

_META = (
    "create schema if not exists crm",
    "create schema if not exists spare",
    "create schema if not exists meta",
    """create table meta.version (
        layout integer not null, written_by varchar, written_at timestamptz)""",
    """create table meta.syncs (
        sync_id varchar not null, run_id varchar, source varchar not null, dataset varchar not null,
        started_at timestamptz, finished_at timestamptz, status varchar not null,
        is_full boolean, fetched bigint, landed bigint, inserted bigint, updated bigint,
        outdated bigint, rejected bigint, duplicates bigint, deleted bigint, replaced bigint,
        message varchar, notices json, columns varchar[])""",
    """create table meta.sync_state (
        source varchar not null, dataset varchar not null, state json, columns varchar[],
        fingerprint varchar, covers_from date, watermark timestamptz, synced_at timestamptz,
        sync_id varchar)""",
    """create table meta.rejected_rows (
        sync_id varchar not null, source varchar not null, dataset varchar not null,
        place varchar, reason varchar not null, record varchar, rejected_at timestamptz)""",
    """create table meta.delivered_columns (
        dataset varchar not null, source varchar not null, "column" varchar not null,
        is_covered boolean not null)""",
    """create table meta.row_counts (
        dataset varchar not null, source varchar not null, "rows" bigint not null,
        deleted bigint not null, test bigint not null, merged bigint not null,
        spam bigint not null)""",
)


# --- version ---------------------------------------------------------------------------------


def prepare_layout(connection: Connection) -> None:
    """Make the layout in an empty file, lift an older one; for a connection that may write.

    Raises WarehouseError when the file is another program's or of a newer crmetrics.
    """
    found = check_layout(connection)
    if found == LAYOUT:
        return
    with connection.transaction():
        if found is None:
            for statement in _META:
                connection.execute(statement)
        else:
            for layout in range(found, LAYOUT):
                for statement in MIGRATIONS[layout]:
                    connection.execute(statement)
            connection.execute("delete from meta.version")
        connection.execute(
            "insert into meta.version values ($layout, $program, now())",
            {"layout": LAYOUT, "program": f"crmetrics {__version__}"},
        )


def check_layout(connection: Connection) -> int | None:
    """The layout version of the file; None when it holds nothing yet.

    Raises WarehouseError when the file is another program's or of a newer crmetrics.
    """
    try:
        # Not looked for first: a list of tables makes DuckDB read up on all of them, which costs
        # a small question a tenth of its time.
        found, program = connection.rows(
            "select layout, written_by from meta.version order by layout desc limit 1"
        )[0]
    except QueryError:
        tables = connection.rows(
            "select schema_name, table_name from duckdb_tables() where not temporary"
        )
        if not tables:
            return None
        if ("meta", "version") in tables:
            raise
        raise opening_error(
            connection.path,
            f"it is a DuckDB file made by another program (it holds {tables[0][1]!r})",
        ) from None
    if found > LAYOUT:
        raise opening_error(
            connection.path,
            f"a newer crmetrics wrote it ({program}, layout {found}); this is {__version__} "
            f"and knows layouts up to {LAYOUT}",
        )
    return int(found)


# --- tables of datasets ----------------------------------------------------------------------


def table_of(dataset: str, schema: str = "crm") -> str:
    """The qualified, quoted name of a dataset's table."""
    return f"{schema}.{quoted(dataset)}"


def stored_tables(connection: Connection) -> set[tuple[str, str]]:
    """(schema, dataset) of every table that holds rows of a dataset."""
    rows = connection.rows(
        "select schema_name, table_name from duckdb_tables() "
        "where schema_name in ('crm', 'spare') and not temporary"
    )
    return {(str(schema), str(name)) for schema, name in rows}


def stored_columns(connection: Connection, dataset: str, schema: str = "crm") -> dict[str, str]:
    """Column -> DuckDB type of a dataset's table, in its order; empty when there is none."""
    known = connection.scalar(
        "select count(*) from duckdb_tables() "
        "where schema_name = ? and table_name = ? and not temporary",
        [schema, dataset],
    )
    return table_columns(connection, dataset, schema) if known else {}


def table_columns(connection: Connection, dataset: str, schema: str = "crm") -> dict[str, str]:
    """The same for a table that is known to be there."""
    # A fifth of the cost of duckdb_columns(), which goes through every table.
    table = literal(table_of(dataset, schema))
    rows = connection.rows(f"select name, type from pragma_table_info({table}) order by cid")
    return {str(name): str(kind) for name, kind in rows}


def create_table(
    connection: Connection, dataset: Dataset, columns: Iterable[str], schema: str = "crm"
) -> None:
    """A table with `source`, these columns and the hidden ones; `evolve` adds the others.

    Columns that are added afterwards cost less than nulls that are written with the rows. Ids are
    stored as they are, of records and of stays: hardly two are equal, so the search for a
    dictionary, a tenth of what a load costs, finds none worth it, and they are read faster.
    """
    wanted = set(columns) | {"source"}
    kinds = {column.name: column.sql_type for column in dataset.columns if column.name in wanted}
    for name in ("id", "stay_id") if dataset.key == ("id",) else ():
        if name in kinds:
            kinds[name] += " using compression uncompressed"
    listed = ", ".join(f"{quoted(name)} {kind}" for name, kind in (kinds | HIDDEN_COLUMNS).items())
    connection.execute(f"create table {table_of(dataset.name, schema)} ({listed})")


def evolve(connection: Connection, dataset: Dataset, schema: str = "crm") -> list[str]:
    """Bring an existing table to the columns of its dataset; sentences on what was kept aside.

    A new column is added (flags with their default), a column that the dataset no longer has
    stays, a changed type is cast when no value is lost, else the old column is kept under another
    name and the new one is empty until the next full read.
    """
    stored = table_columns(connection, dataset.name, schema)
    notices = []
    for column in dataset.columns:
        if column.name in stored and not _same(stored[column.name], column.sql_type):
            notice = _retype(connection, dataset, column, stored, schema)
            if notice:
                notices.append(notice)
    complete_table(connection, dataset, stored, schema)
    return notices


def complete_table(
    connection: Connection, dataset: Dataset, stored: Iterable[str], schema: str = "crm"
) -> tuple[str, ...]:
    """Add the columns of the dataset that its table, which has `stored`, lacks; all it has then."""
    known = tuple(stored)
    missing = [column for column in dataset.columns if column.name not in known]
    for column in missing:
        _add(connection, table_of(dataset.name, schema), column)
    return (*known, *(column.name for column in missing))


def _add(connection: Connection, table: str, column: Column) -> None:
    default = "" if column.default is None else f" default {default_of(column)}"
    connection.execute(
        f"alter table {table} add column {quoted(column.name)} {column.sql_type}{default}"
    )


def default_of(column: Column) -> str:
    """The SQL literal that stands in for a missing flag; `null` when there is none."""
    if column.default is None:
        return "null"
    return literal(column.default) if isinstance(column.default, str) else str(column.default)


def _retype(
    connection: Connection,
    dataset: Dataset,
    column: Column,
    stored: dict[str, str],
    schema: str,
) -> str:
    table, name = table_of(dataset.name, schema), quoted(column.name)
    old, new = stored[column.name], column.sql_type
    lost = connection.scalar(
        f"select count(*) from {table} where {name} is not null "
        f"and try_cast(try_cast({name} as {new}) as {old}) is distinct from {name}"
    )
    if not lost:
        # A default would keep the old type alive; loads fill defaults themselves.
        connection.execute(f"alter table {table} alter column {name} drop default")
        connection.execute(f"alter table {table} alter column {name} set data type {new}")
        stored[column.name] = new
        return ""
    kept = _free_name(f"{column.name}__old", stored)
    connection.execute(f"alter table {table} rename column {name} to {quoted(kept)}")
    stored[kept] = stored.pop(column.name)
    for statement in (
        'delete from meta.delivered_columns where dataset = $dataset and "column" = $column',
        "update meta.sync_state set columns = list_filter(columns, lambda c: c <> $column) "
        "where dataset = $dataset",
    ):
        connection.execute(statement, {"dataset": dataset.name, "column": column.name})
    return (
        f"{dataset.name}.{column.name} changed from {old} to {new} and {lost} values do not fit: "
        f"the old values are kept as {kept}, the next sync reads the column anew."
    )


def _free_name(name: str, taken: Mapping[str, str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}{number}", number + 1
    return free


def _same(stored: str, wanted: str) -> bool:
    return _canonical(stored) == _canonical(wanted)


def _canonical(kind: str) -> str:
    kind = kind.upper().replace(" ", "")
    return {"TIMESTAMPWITHTIMEZONE": "TIMESTAMPTZ"}.get(kind, kind)


def require_no_clash(datasets: Mapping[str, Dataset]) -> None:
    """Datasets whose columns would collide with the hidden ones are refused.

    Raises WarehouseError naming the dataset and the column.
    """
    for dataset in datasets.values():
        for name in dataset.column_names:
            if name.startswith("_"):
                raise WarehouseError(
                    f"dataset {dataset.name!r} has a column {name!r}; names that begin with _ are "
                    "kept for the warehouse. Rename the column in the plugin."
                )
