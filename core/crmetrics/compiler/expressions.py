"""SQL expressions of definitions: what they read, what they aggregate, and other columns in them.

Every answer is a function of the text alone. It is taken from `memory` where it is known, so that
asking an unchanged definition again neither imports sqlglot nor parses anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from crmetrics.catalog import NOWHERE, Condition, Place
from crmetrics.compiler.memory import MEMORY
from crmetrics.errors import ConfigError, Finding


def failure(message: str, place: Place, hint: str = "") -> ConfigError:
    return ConfigError(findings=[Finding(message, place.file, place.line, place.column, hint)])


def _recall(name: str, place: Place, *arguments: str) -> Any:
    """The result of a function of `trees`; ConfigError with the place when a text is unusable."""
    known = MEMORY.get(name, arguments)
    if known is not None:
        return known
    from crmetrics.compiler import trees

    try:
        found = getattr(trees, name)(*arguments)
    except trees.UnusableError as exc:
        raise failure(exc.message, place, exc.hint) from exc
    MEMORY.put(name, arguments, found)
    return found


def text(sql: str, place: Place = NOWHERE) -> str:
    """The expression in one form, without comments."""
    return str(_recall("read", place, sql)[0])


def flattened(sql: str, place: Place = NOWHERE) -> str:
    """The same with `ref.column` as the one identifier "ref.column", as the fact exposes it."""
    return str(_recall("read", place, sql)[1])


def columns(sql: str, place: Place = NOWHERE) -> list[str]:
    """Names of the columns an expression reads, in their order; `ref.column` along a key."""
    return list(_recall("read", place, sql)[2])


def substituted(sql: str, others: Mapping[str, str], place: Place = NOWHERE) -> str:
    """The expression with other SQL in place of these columns."""
    pairs = [part for pair in others.items() for part in pair]
    return str(_recall("substitute", place, sql, *pairs))


def active(conditions: Iterable[Condition], settings: Mapping[str, Any]) -> list[Condition]:
    """The terms of a `where` whose setting, if they name one, is neither empty nor false."""
    return [term for term in conditions if not term.when or settings.get(term.when)]


class Aggregate(Struct, frozen=True):
    """One aggregate of an expression, with the filter under which its rows count.

    sql: the aggregate, filter included. total: count of the rows under the filter. used: count of
    those whose argument is not null (None where every row is used). argument: what is aggregated,
    empty for count(*); inputs: its columns.
    """

    sql: str
    condition: str
    total: str
    used: str | None
    argument: str
    inputs: tuple[str, ...]
    is_additive: bool
    is_distinct: bool


class Split(Struct, frozen=True):
    """An expression, split: `outer` is arithmetic over placeholders `{0}`, `{1}` for the
    aggregates."""

    outer: str
    aggregates: tuple[Aggregate, ...]
    columns: frozenset[str]
    is_additive: bool


def split(sql: str, condition: str, place: Place = NOWHERE) -> Split:
    """Take an aggregate expression apart; `condition` is added to the filter of each aggregate.

    Raises ConfigError when the expression has no aggregate, or a column outside of one.
    """
    outer, parts, names, is_additive = _recall("split", place, sql, condition)
    found = tuple(
        Aggregate(own, both, total, used, argument, tuple(inputs), *flags)
        for own, both, total, used, argument, inputs, *flags in parts
    )
    return Split(outer, found, frozenset(names), is_additive)


class Shape(Struct, frozen=True):
    """What one aggregate is: its kind (`count`, `sum`, `min`, `max`, `avg`, `any`, else empty), its
    argument (empty = none or `*`) and the condition of its filter.

    columns: all that it reads; inner: without those of the filter. is_exact: it has no part that
    makes a float of exact columns.
    """

    kind: str
    is_distinct: bool
    argument: str
    condition: str
    columns: tuple[str, ...]
    inner: tuple[str, ...]
    is_exact: bool


def shape_of(sql: str) -> Shape:
    """What the one aggregate of `sql` is."""
    kind, is_distinct, argument, condition, *names, is_exact = _recall("aggregate", NOWHERE, sql)
    columns, inner = map(tuple, names)
    return Shape(kind, is_distinct, argument, condition, columns, inner, is_exact)


def check_model(sql: str, file: str) -> None:
    """A model must be one SELECT; anything that writes, loads or sets is refused.

    The session is read-only and locked down as well; this gives the error its file and line.
    """
    if MEMORY.get("check_model", (sql,)) is not None:
        return
    from crmetrics.compiler import trees

    try:
        MEMORY.put("check_model", (sql,), trees.check_model(sql))
    except trees.UnusableError as exc:
        raise failure(exc.message, Place(file, exc.line, exc.column)) from exc


def passes_on(sql: str, column: str) -> bool:
    """Whether a query, known to be one, does nothing with the columns of a name but to select them
    under this name and to group by them."""
    return bool(_recall("passes_on", NOWHERE, sql, column))


def gives(sql: str, column: str) -> bool:
    """Whether what a query, known to be one, has under a name is the column as it is: it passes it
    on, and at most tells its values apart by their hash beside."""
    return bool(_recall("gives", NOWHERE, sql, column))


def names_columns(sql: str) -> bool:
    """Whether a query, known to be one, names every column that it reads."""
    return bool(_recall("names_columns", NOWHERE, sql))


def is_made_of(sql: str, relations: Iterable[str]) -> bool:
    """Whether a query, known to be one, takes all values from these relations."""
    return bool(_recall("is_made_of", NOWHERE, sql, *relations))


def rows_from(sql: str, asked: Iterable[str]) -> tuple[bool, Sequence[str], Sequence[str]]:
    """What decides which rows a query, known to be one, has: whether it filters or joins by one of
    the relations or functions `asked`; the relations that rows come from; and those of them without
    whose rows it has none."""
    is_asked, taken, required = _recall("rows_from", NOWHERE, sql, *asked)
    return is_asked, taken, required


def check_condition(sql: str, column_type: Callable[[str], str], place: Place) -> None:
    """Refuse what DuckDB would read as a condition although it is none, such as a number.

    column_type: SQL type of a column by its name (`owner.team`), empty when unknown.
    """
    kind, name = _recall("condition_kind", place, sql)
    if kind == "condition" or (kind == "column" and column_type(name) in ("", "BOOLEAN")):
        return
    raise failure(f"expected a condition that is true or false, found {sql!r}.", place)
