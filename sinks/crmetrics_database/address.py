"""Database addresses and table names, as the project file writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from crmetrics.plugin import Secret, did_you_mean

FILES = ("duckdb", "sqlite")
SERVERS: Mapping[str, str] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "mssql": "mssql",
    "snowflake": "snowflake",
    "bigquery": "bigquery",
}
"""Scheme of a URL -> the kind of database."""

EXTRAS: Mapping[str, str] = {"postgresql": "postgres"}
"""Kind of database -> the extra that brings its driver, where it has another name."""

_PORTS: Mapping[str, int] = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_DEFAULT_SCHEMAS: Mapping[str, str] = {"duckdb": "main", "postgresql": "public", "mssql": "dbo"}
_EXACT = ("postgresql", "mysql", "bigquery")
"""Where `Kpis` and `kpis` can be two tables."""
_PLACING = (
    "account", "addr", "address", "database", "db", "dsn", "instance", "read_default_file",
    "read_default_group", "region", "schema", "server", "service", "unix_socket",
)  # fmt: skip
"""Options of drivers that lead elsewhere, beside host, hostaddr, port and dbname."""
_ODBC_PART = re.compile(r"([^=;]+)=(\{(?:[^}]|\}\})*\}|[^;]*)")
_SEARCH_PATH = re.compile(r"search_path\s*=\s*(\w+)")

_SECRET_OPTIONS = ("password", "passcode", "token", "privateKey")

_KNOWN = (*FILES, *SERVERS)
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
_DATASET = re.compile(rf"[a-z][a-z0-9-]{{4,62}}/{_IDENTIFIER}")
_TABLE = re.compile(rf"(?:(?P<schema>{_IDENTIFIER})\.)?(?P<table>{_IDENTIFIER})")


@dataclass(frozen=True, slots=True)
class Address:
    """A database. path: of a file, as written; relative ones are relative to the project. shown:
    of a server, its host and database without credentials. needs_schema: it has no default one, and
    the URL names none."""

    engine: str
    path: Path = Path()
    shown: str = ""
    needs_schema: bool = False

    @property
    def is_file(self) -> bool:
        return self.engine in FILES


@dataclass(frozen=True, slots=True)
class TableName:
    """A table; schema is empty for the database's default one."""

    table: str
    schema: str = ""

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table


def parse_url(url: str) -> Address:
    """The database that a URL names: `duckdb:///relative`, `postgresql://user:...@host/database`.

    Raises ValueError; the message holds the scheme only, since a URL may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[a-z0-9+]+", scheme):
        raise ValueError(
            "expected a URL like duckdb:///results.duckdb, sqlite:///results.sqlite or "
            "postgresql://user:password@host/database"
        )
    base = scheme.partition("+")[0]
    if base in SERVERS:
        return _server(base, url)
    if scheme not in FILES:
        hint = did_you_mean(scheme, _KNOWN) or f"Supported: {', '.join(_KNOWN)}."
        raise ValueError(f"databases of the kind {scheme!r} are not supported. {hint}")
    return _file(scheme, rest)


def _file(scheme: str, rest: str) -> Address:
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


def _server(scheme: str, url: str) -> Address:
    try:
        parts = urlsplit(url)
        host, port, password = parts.hostname or "", parts.port, parts.password
    except ValueError:
        raise ValueError(f"expected a URL like {scheme}://user:password@host/database") from None
    options = parse_qs(parts.query)
    hidden = (value for name in _SECRET_OPTIONS for value in options.get(name, ()))
    for secret in (password, *hidden):
        if secret:
            # Remembered, so that `redact` takes them out of a driver's message.
            Secret(secret)
            Secret(unquote(secret))
    where = host or next(iter(options.get("host", ())), "") or "localhost"
    shown = f"{where}:{port}" if port else where
    engine, path = SERVERS[scheme], parts.path.rstrip("/")
    if engine == "bigquery" and not _DATASET.fullmatch(f"{parts.netloc}{path}"):
        raise ValueError(
            "expected bigquery://PROJECT/DATASET, with ?credentials=FILE of a service account, or "
            "the machine's own credentials without it"
        )
    needs_schema = engine == "snowflake" and path.count("/") < 2
    return Address(engine, shown=f"{engine} {shown}{path}", needs_schema=needs_schema)


def place_of(url: str, name: TableName) -> str:
    """The table as one text, the same however it is written; without credentials.

    What a server is also known by (another host name, a synonym of the table) is not seen.
    """
    address = parse_url(url)
    base = address.path.as_posix() if address.is_file else _server_of(url, address.engine)
    schema = name.schema or _DEFAULT_SCHEMAS.get(address.engine, "")
    searched = _SEARCH_PATH.search(unquote(url))
    if not name.schema and searched:
        schema = searched[1]
    table = f"{schema}.{name.table}" if schema else name.table
    return f"{base}:{table if address.engine in _EXACT else table.lower()}"


def identity_of(url: str, name: TableName, shown: str) -> str:
    """What tells the table from every other one: `shown`, where that says it all.

    shown: as people see the place, without the options of its URL.
    """
    if parse_url(url).is_file:
        return shown
    parts = urlsplit(url)
    bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    place = place_of(url, name)
    return shown if place == place_of(bare, name) else place


def _server_of(url: str, engine: str) -> str:
    """The server and its database. An option wins over the same part before the `?`."""
    parts, options = urlsplit(url), _placing_options(url)
    named = options.get("hostaddr") or options.get("host") or unquote(parts.hostname or "")
    host = (named if "/" in named else named.lower()) or "localhost"  # "/": the folder of a socket
    port = options.get("port") or str(parts.port or "")
    where = host if port in ("", str(_PORTS.get(engine))) else f"{host}:{port}"
    database = options.get("dbname") or unquote(parts.path).strip("/")
    if engine == "postgresql" and "service" not in options:
        database = database or options.get("user") or unquote(parts.username or "")
    told = "&".join(f"{name}={options[name]}" for name in _PLACING if name in options)
    return f"{engine}://{where}{f'/{database}' if database else ''}{f'?{told}' if told else ''}"


def _placing_options(url: str) -> dict[str, str]:
    """Options after the `?`, those inside of `odbc_connect` too; the last of a name holds."""
    options = {name.lower(): values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    for name, value in _ODBC_PART.findall(options.pop("odbc_connect", "")):
        options[name.strip().lower()] = value.strip()
    return options


def parse_table(text: str, engine: str) -> TableName:
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
