"""`$name` placeholders in SQL text: found outside quotes and comments, filled with typed literals.

The derived views of this room and the SQL models of metric packs are written with them. DuckDB's
own parameters cannot stand in a `create view`, and a text that is shown to an analyst should run
as it is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache

from crmetrics.errors import ConfigError, Finding, did_you_mean
from crmetrics.warehouse.statements import quoted

_TOKEN = re.compile(
    r"""
      --[^\n]*
    | /\*.*?(?:\*/|\Z)
    | [eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | (?<![\w$])\$(?P<name>[A-Za-z_]\w*)
    | (?P<word>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
"""Comments, texts, quoted identifiers and dollar-quoted texts come first, so that nothing inside
them is taken for a placeholder or a word."""


_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def render(sql: str, values: Mapping[str, object], *, file: str = "") -> str:
    """`sql` with every `$name` replaced by the literal of its value.

    file: named in the error. Raises ConfigError with one finding per unknown name, and for a value
    that has no literal.
    """
    unknown: list[Finding] = []

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0]
        if name not in values:
            unknown.append(_unknown(sql, match.start(), name, values, file))
            return match[0]
        return literal(values[name], name)

    filled = _TOKEN.sub(fill, sql)
    if unknown:
        raise ConfigError(findings=unknown)
    return filled


def placeholders(sql: str) -> tuple[str, ...]:
    """The names of the placeholders in `sql`, each once, in order of appearance."""
    found = (match["name"] for match in _TOKEN.finditer(sql) if match["name"])
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=512)
def words(sql: str) -> frozenset[str]:
    """Every bare word of `sql` in lower case: what may name a relation, a column or a function.

    Kept for the last texts: each is asked again when it runs, and for all that reads what it makes.
    """
    return frozenset(match["word"].lower() for match in _TOKEN.finditer(sql) if match["word"])


def identifier(name: str) -> str:
    """`name` as a column after `alias.` or `as`, quoted only where it must be.

    In these two places DuckDB takes reserved words (`stored.order as order`) as they are.
    """
    return name if _PLAIN.fullmatch(name) else quoted(name)


def literal(value: object, name: str = "") -> str:
    """`value` as SQL text of its own type.

    None, bool, int, float, Decimal, text, date, aware datetime (as an instant), and lists, tuples
    and string-keyed mappings of these. A negative number is parenthesised: `1-$x` must not become
    a comment. Raises ConfigError that names the placeholder for anything else.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float | Decimal):
        return _number(value, name)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        return _instant(value, name)
    if isinstance(value, date):
        return f"date '{value.isoformat()}'"
    if isinstance(value, Mapping):
        return _map(value, name)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return "[" + ", ".join(literal(item, name) for item in value) + "]"
    raise _unfit(name, f"a value of type {type(value).__name__}")


def _number(value: float | Decimal, name: str) -> str:
    if not math.isfinite(value):
        raise _unfit(name, repr(value))
    if isinstance(value, float):
        return f"({value!r}::double)"
    text = str(value) if isinstance(value, int) else f"{value:f}"
    return f"({text})" if value < 0 else text


def _instant(value: datetime, name: str) -> str:
    if value.tzinfo is None:
        raise _unfit(name, f"the instant {value.isoformat()} without a zone")
    utc = value.astimezone(UTC).replace(tzinfo=None)
    return f"timestamptz '{utc.isoformat(sep=' ', timespec='microseconds')}+00'"


def _map(value: Mapping[object, object], name: str) -> str:
    if not value:
        return "map([]::varchar[], []::varchar[])"
    pairs = (f"{literal(key, name)}: {literal(item, name)}" for key, item in value.items())
    return "map {" + ", ".join(pairs) + "}"


def _unfit(name: str, what: str) -> ConfigError:
    return ConfigError(
        f"placeholder ${name or 'value'}: {what} cannot be written as SQL; expected a text, "
        "number, boolean, date, instant with zone, list or mapping of these."
    )


def _unknown(
    sql: str, position: int, name: str, values: Mapping[str, object], file: str
) -> Finding:
    before = sql[:position]
    hint = did_you_mean(name, values)
    if not hint:
        hint = "Known here: " + ", ".join(f"${known}" for known in sorted(values)) + "."
    return Finding(
        f"unknown placeholder ${name}.",
        file,
        before.count("\n") + 1,
        position - (before.rfind("\n") + 1) + 1,
        hint,
    )
