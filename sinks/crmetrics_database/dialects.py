"""What MySQL, MariaDB and SQL Server have each their own way of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crmetrics_database.statements import Kind

if TYPE_CHECKING:
    import sqlalchemy as sa

_LOCK_S = 300

# What an index takes limits the texts of a key: 3,072 bytes in MySQL, 1,700 in SQL Server.
KEY_LENGTHS: Mapping[str, int] = {
    "job": 100, "kpi": 100, "variant": 60, "grain": 10, "run_id": 60, "segment": 400,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    driver: meant when a URL names none; extra: brings it. isolation: of a transaction, so that
    what another writer committed before ours had the lock is seen. session: said once to a new
    connection. lock: a query that waits for the named lock and gives a number; above `refused` it
    was given. number: a query for that of the connection. cancel: what another connection says,
    with it, to end its statement. transient: codes of errors after which a repeat may do. types: of
    the columns that we make, as messages name them. accepted: of existing columns, which hold a
    kind without loss.
    """

    driver: str
    extra: str
    isolation: str | None = None
    session: tuple[str, ...] = ()
    lock: str = ""
    refused: int = 0
    number: str = ""
    cancel: str = ""
    transient: frozenset[int] = frozenset()
    types: Mapping[Kind, str] = field(default_factory=dict)
    accepted: Mapping[Kind, frozenset[str]] = field(default_factory=dict)


_MYSQL = Dialect(
    driver="mysql+pymysql",
    extra="mysql",
    isolation="READ COMMITTED",
    # Without the mode a text too long is cut with a mere warning; a TIMESTAMP is kept in the
    # session's zone.
    session=(
        "set session sql_mode = concat(@@sql_mode, ',STRICT_ALL_TABLES')",
        "set session time_zone = '+00:00'",
    ),
    lock=f"select get_lock(sha1(concat(database(), '.', :name)), {_LOCK_S})",
    number="select connection_id()",
    cancel="kill query {number}",
    # Too many connections, shutdown, table or column just made by another, lock wait, deadlock,
    # killed, and those of a client without its server.
    transient=frozenset({1040, 1050, 1053, 1060, 1205, 1213, 1927, 2002, 2003, 2006, 2013, 2055}),
    types={"float": "double", "integer": "bigint", "boolean": "boolean", "date": "date",
           "instant": "datetime(6)", "text": "text", "decimal": "decimal(38, 10)"},
    accepted={
        "float": frozenset({"DOUBLE"}),
        "integer": frozenset({"BIGINT"}),
        "date": frozenset({"DATE"}),
        "instant": frozenset({"DATETIME", "TIMESTAMP"}),
        "text": frozenset({"VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "JSON"}),
    },
)  # fmt: skip
_MSSQL = Dialect(
    driver="mssql+pymssql",
    extra="mssql",
    isolation="READ COMMITTED",
    lock="declare @got int; exec @got = sp_getapplock @Resource = :name, "
    "@LockMode = 'Exclusive', @LockOwner = 'Transaction', "
    f"@LockTimeout = {_LOCK_S * 1000}; select @got",
    refused=-1,
    # Deadlock, object just made by another, and those of a client without its server.
    transient=frozenset({1205, 2705, 2714, 20003, 20004, 20006, 20009, 20047}),
    types={"float": "double precision", "integer": "bigint", "boolean": "bit", "date": "date",
           "instant": "datetimeoffset", "text": "nvarchar(max)", "decimal": "numeric(38, 10)"},
    accepted={
        "float": frozenset({"FLOAT", "DOUBLE PRECISION"}),
        "integer": frozenset({"BIGINT"}),
        "date": frozenset({"DATE"}),
        "instant": frozenset({"DATETIMEOFFSET", "DATETIME2"}),
        "text": frozenset({"NVARCHAR", "NTEXT"}),
    },
)  # fmt: skip

_DIALECTS: Mapping[str, Dialect] = {"mysql": _MYSQL, "mssql": _MSSQL}


def dialect_of(kind: str) -> Dialect:
    """The ways of `mysql` or `mssql`; of another kind, what is standard."""
    return _DIALECTS.get(kind) or Dialect(kind, kind)


def column_type(column: str, kind: Kind) -> sa.types.TypeEngine[Any]:
    """Texts of a key compare by bytes: `East` and `east` are two teams."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import mssql, mysql

    if kind == "text" and column in KEY_LENGTHS:
        length = KEY_LENGTHS[column]
        by_bytes = mysql.VARCHAR(length, collation="utf8mb4_bin")
        return (
            sa.String(length)
            .with_variant(by_bytes, "mysql", "mariadb")
            .with_variant(mssql.NVARCHAR(length, collation="Latin1_General_BIN2"), "mssql")
        )
    plain: Mapping[Kind, sa.types.TypeEngine[Any]] = {
        "text": sa.UnicodeText().with_variant(mssql.NVARCHAR(None), "mssql"),
        "float": sa.Double(),
        "integer": sa.BigInteger(),
        "decimal": sa.Numeric(38, 10),
        "boolean": sa.Boolean(),
        "date": sa.Date(),
        "instant": sa.DateTime(timezone=True).with_variant(
            mysql.DATETIME(fsp=6), "mysql", "mariadb"
        ),
    }
    return plain[kind]
