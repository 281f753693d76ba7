"""Database addresses and table names, as the project file writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from crmetrics.plugin import did_you_mean

Engine = Literal["duckdb", "sqlite"]
ENGINES: tuple[Engine, ...] = get_args(Engine)

_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
_TABLE = re.compile(rf"(?:(?P<schema>{_IDENTIFIER})\.)?(?P<table>{_IDENTIFIER})")


@dataclass(frozen=True, slots=True)
class Address:
    """A database file. path: as written; relative ones are relative to the project."""

    engine: Engine
    path: Path


@dataclass(frozen=True, slots=True)
class TableName:
    """A table; schema is empty for the database's default one."""

    table: str
    schema: str = ""

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


def parse_url(url: str) -> Address:
    """The database that a URL names: `duckdb:///relative`, `sqlite:////absolute`.

    Raises ValueError; the message holds the scheme only, since a URL may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[a-z0-9+]+", scheme):
        raise ValueError("expected a URL like duckdb:///results.duckdb or sqlite:///results.sqlite")
    if scheme not in ENGINES:
        hint = did_you_mean(scheme, ENGINES) or f"Supported: {', '.join(ENGINES)}."
        raise ValueError(f"databases of the kind {scheme!r} are not supported. {hint}")
    if not rest.startswith("/"):
        raise ValueError(
            f"expected {scheme}:///FILE with three slashes for a file of the project, "
            f"{scheme}:////FILE with four for an absolute path"
        )
    path = rest[1:]
    if not path or path.endswith("/") or path == ":memory:":
        raise ValueError(f"expected a file after {scheme}:///; nothing would be kept without one")
    if "?" in path:
        raise ValueError(f"{scheme} URLs take no options after `?`")
    return Address(scheme, Path(path))


def parse_table(text: str, engine: Engine) -> TableName:
    """The table that a name like `kpis` or `reporting.kpis` means.

    Raises ValueError when a part is no plain identifier, or when the database has no schemas.
    """
    match = _TABLE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"expected TABLE or SCHEMA.TABLE of letters, digits and underscores, found {text!r}"
        )
    schema = match["schema"] or ""
    if schema and engine == "sqlite":
        raise ValueError(f"SQLite has no schemas; write {match['table']!r} alone")
    return TableName(match["table"], schema)
