"""The SQL of the table and of its upkeep; the same text for DuckDB, SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["text", "float", "integer", "decimal", "boolean", "date", "instant"]

KEY = ("job", "kpi", "variant", "period_start", "grain", "segment")
"""One row per key. The job belongs to it: two jobs may filter the same KPI differently."""

DEFAULTS: Mapping[str, str] = {
    "job": "",
    "variant": "",
    "grain": "",
    "segment": "{}",
    "run_id": "",
}
"""What stands in a key column that an existing table lacks, and for a null in one."""

REQUIRED = ("kpi", "period_start")
"""An existing table without these was not made for results."""

INCOMING = "crmetrics_incoming"

Mode = Literal["upsert", "append", "replace"]


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How a delivery changes the table.

    key: one row per value of these. scope: rows that agree with an incoming row in these, and are
    not among the incoming, go.
    """

    key: tuple[str, ...]
    scope: tuple[str, ...]


UPKEEP: Mapping[Mode, Upkeep] = {
    "upsert": Upkeep(KEY, KEY[:-1]),
    # A run that restates an earlier period delivers two.
    "append": Upkeep((*KEY, "run_id"), (*KEY[:-1], "run_id")),
    "replace": Upkeep(KEY, ("job",)),
}
"""upsert: restate in place, periods beside each other. append: beside what former runs said.
replace: nothing but the last delivery of the job."""


def kinds(table: pa.Table) -> dict[str, Kind]:
    """What each column of a flat table holds."""
    import pyarrow as pa

    known: Sequence[tuple[object, Kind]] = (
        (pa.types.is_floating, "float"),
        (pa.types.is_integer, "integer"),
        (pa.types.is_decimal, "decimal"),
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_date, "date"),
        (pa.types.is_timestamp, "instant"),
    )
    found: dict[str, Kind] = {}
    for field in table.schema:
        fitting = [kind for is_kind, kind in known if is_kind(field.type)]  # type: ignore[operator]
        found[field.name] = fitting[0] if fitting else "text"
    return found


def create_table(
    name: str,
    columns: Mapping[str, Kind],
    types: Mapping[Kind, str],
    key: Sequence[str],
    quote: Callable[[str], str] | None = None,
) -> str:
    """key: empty for a table that gets an index of its own."""
    write = quote or quoted
    lines = [
        f"{write(column)} {types[kind]}" + (" not null" if column in KEY else "")
        for column, kind in columns.items()
    ]
    if key:
        lines.append(f"primary key ({', '.join(write(column) for column in key)})")
    return f"create table {name} (\n  " + ",\n  ".join(lines) + "\n)"


def add_column(
    name: str,
    column: str,
    kind: Kind,
    types: Mapping[Kind, str],
    default: str | None,
    quote: Callable[[str], str] | None = None,
) -> str:
    suffix = f" default '{default}'" if default is not None else ""
    return f"alter table {name} add column {(quote or quoted)(column)} {types[kind]}{suffix}"


def delete_gone_groups(name: str, upkeep: Upkeep) -> str:
    """Rows of the scope (a job, KPI, variant and period) that are not among the incoming."""
    return (
        f"delete from {name} as kept\n"
        f"where exists (select 1 from {INCOMING} as incoming where {_equal(upkeep.scope)})\n"
        f"  and not exists (select 1 from {INCOMING} as incoming where {_equal(upkeep.key)})"
    )


def update_known(name: str, columns: Collection[str], upkeep: Upkeep) -> str:
    values = [column for column in columns if column not in upkeep.key]
    settings = ", ".join(f"{quoted(column)} = incoming.{quoted(column)}" for column in values)
    return (
        f"update {name} as kept\nset {settings}\nfrom {INCOMING} as incoming\n"
        f"where {_equal(upkeep.key)}"
    )


def insert_new(name: str, columns: Sequence[str], upkeep: Upkeep) -> str:
    names = ", ".join(quoted(column) for column in columns)
    values = ", ".join(f"incoming.{quoted(column)}" for column in columns)
    return (
        f"insert into {name} ({names})\nselect {values}\nfrom {INCOMING} as incoming\n"
        f"where not exists (select 1 from {name} as kept where {_equal(upkeep.key)})"
    )


def merge(
    name: str,
    source: str,
    columns: Sequence[str],
    upkeep: Upkeep,
    quote: Callable[[str], str] | None = None,
) -> str:
    """All of the upkeep as one statement, for engines where a transaction outlives its client.

    source: the relation of the incoming rows. Rows of the scope that are not among them come in
    with the mark `crmetrics_gone`, so that one join decides on all.
    """
    write = quote or quoted
    key, mark = upkeep.key, write("crmetrics_gone")
    others = [column for column in columns if column not in key]
    listed = ", ".join(write(column) for column in columns)
    gone = ", ".join(f"old.{write(one)}" if one in key else "null" for one in columns)
    scope = ", ".join(write(column) for column in upkeep.scope)
    settings = ", ".join(f"{write(column)} = incoming.{write(column)}" for column in others)
    values = ", ".join(f"incoming.{write(column)}" for column in columns)
    return f"""merge into {name} as kept
using (
  select false as {mark}, {listed} from {source}
  union all
  select true, {gone}
  from {name} as old
  inner join (select distinct {scope} from {source}) as scopes
    on {_agreeing("old", "scopes", upkeep.scope, write)}
  left join {source} as known
    on {_agreeing("old", "known", key, write)}
  where known.{write("kpi")} is null
) as incoming
on {_agreeing("kept", "incoming", key, write)}
when matched and incoming.{mark} then delete
when matched then update set {settings}
when not matched then insert ({listed})
  values ({values})"""


def any_in_scope(name: str, source: str, upkeep: Upkeep) -> str:
    """A row when the table holds one of the scope; source: a relation with the scopes."""
    return (
        f"select 1 from {name} as kept where exists "
        f"(select 1 from {source} as incoming where {_equal(upkeep.scope)}) limit 1"
    )


def read_back(
    name: str, source: str, upkeep: Upkeep, quote: Callable[[str], str] | None = None
) -> str:
    """Rows and values that the table holds of the scope: count, count of values, least, largest."""
    write = quote or quoted
    value = f"kept.{write('value')}"
    return (
        f"select count(*), count({value}), min({value}), max({value}) from {name} as kept "
        f"where exists (select 1 from {source} as incoming "
        f"where {_agreeing('kept', 'incoming', upkeep.scope, write)})"
    )


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _equal(columns: Sequence[str]) -> str:
    return _agreeing("kept", "incoming", columns, quoted)


def _agreeing(one: str, other: str, columns: Sequence[str], write: Callable[[str], str]) -> str:
    return " and ".join(f"{one}.{write(name)} = {other}.{write(name)}" for name in columns)
