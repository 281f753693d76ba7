"""The SQL of the table and of the upsert; the same text for DuckDB and SQLite."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["text", "float", "integer", "date", "instant"]

KEY = ("job", "kpi", "variant", "period_start", "grain", "segment")
"""One row per key. The job belongs to it: two jobs may filter the same KPI differently."""

DEFAULTS: Mapping[str, str] = {"job": "", "variant": "", "grain": "", "segment": "{}"}
"""What stands in a key column that an existing table lacks, and for a null in one."""

REQUIRED = ("kpi", "period_start")
"""An existing table without these was not made for results."""

INCOMING = "crmetrics_incoming"

_ALL_GROUPS = KEY[:-1]


def kinds(table: pa.Table) -> dict[str, Kind]:
    """What each column of a flat table holds."""
    import pyarrow as pa

    found: dict[str, Kind] = {}
    for field in table.schema:
        if pa.types.is_floating(field.type):
            found[field.name] = "float"
        elif pa.types.is_integer(field.type):
            found[field.name] = "integer"
        elif pa.types.is_date(field.type):
            found[field.name] = "date"
        elif pa.types.is_timestamp(field.type):
            found[field.name] = "instant"
        else:
            found[field.name] = "text"
    return found


def create_table(name: str, columns: Mapping[str, Kind], types: Mapping[Kind, str]) -> str:
    described = ",\n  ".join(
        f"{quoted(column)} {types[kind]}" + (" not null" if column in KEY else "")
        for column, kind in columns.items()
    )
    key = ", ".join(quoted(column) for column in KEY)
    return f"create table {name} (\n  {described},\n  primary key ({key})\n)"


def add_column(name: str, column: str, kind: Kind, types: Mapping[Kind, str]) -> str:
    default = f" default '{DEFAULTS[column]}'" if column in DEFAULTS else ""
    return f"alter table {name} add column {quoted(column)} {types[kind]}{default}"


def duplicate_keys() -> str:
    key = ", ".join(quoted(column) for column in KEY)
    return f"select {key} from {INCOMING} group by {key} having count(*) > 1 limit 1"


def delete_gone_groups(name: str) -> str:
    """Rows of a reported (job, KPI, variant, period) whose group is not among the incoming."""
    return (
        f"delete from {name} as kept\n"
        f"where exists (select 1 from {INCOMING} as incoming where {_equal(_ALL_GROUPS)})\n"
        f"  and not exists (select 1 from {INCOMING} as incoming where {_equal(KEY)})"
    )


def update_known(name: str, columns: Collection[str]) -> str:
    values = [column for column in columns if column not in KEY]
    settings = ", ".join(f"{quoted(column)} = incoming.{quoted(column)}" for column in values)
    return (
        f"update {name} as kept\nset {settings}\nfrom {INCOMING} as incoming\nwhere {_equal(KEY)}"
    )


def insert_new(name: str, columns: Sequence[str]) -> str:
    names = ", ".join(quoted(column) for column in columns)
    values = ", ".join(f"incoming.{quoted(column)}" for column in columns)
    return (
        f"insert into {name} ({names})\nselect {values}\nfrom {INCOMING} as incoming\n"
        f"where not exists (select 1 from {name} as kept where {_equal(KEY)})"
    )


def quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _equal(columns: Sequence[str]) -> str:
    return " and ".join(f"kept.{quoted(name)} = incoming.{quoted(name)}" for name in columns)
