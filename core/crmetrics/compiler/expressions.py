"""SQL expressions of definitions, taken apart: columns, aggregates and their filters.

Parsing is by sqlglot, so that a definition can only hold expressions, never statements. An
expression over a fact is split into its aggregates, which are computed in the shared scan, and the
arithmetic around them, which is computed on the aggregated rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from crmetrics.catalog import NOWHERE, Condition, Place
from crmetrics.errors import ConfigError, Finding

_FORBIDDEN = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.Command, exp.Create, exp.Drop,
    exp.Attach, exp.Set, exp.Use, exp.Pragma,
)  # fmt: skip
_ROWLESS = (exp.Count, exp.CountIf, exp.LogicalOr, exp.LogicalAnd, exp.Min, exp.Max)


def failure(message: str, place: Place, hint: str = "") -> ConfigError:
    return ConfigError(findings=[Finding(message, place.file, place.line, place.column, hint)])


@lru_cache(maxsize=4096)
def _parsed(sql: str) -> exp.Expression:
    return parse_one(f"select {sql}", read="duckdb").expressions[0]  # type: ignore[no-any-return]


def parse(sql: str, place: Place = NOWHERE) -> exp.Expression:
    """One scalar expression; ConfigError with the place when it is none."""
    try:
        tree = _parsed(sql).copy()
    except SqlglotError as exc:
        first = str(exc).splitlines()[0].split(". Line")[0]
        raise failure(f"this is no SQL expression: {sql!r} ({first}).", place) from exc
    if isinstance(tree, exp.Alias) or any(tree.find_all(*_FORBIDDEN, exp.Select)):
        raise failure(f"expected one expression without a query or an alias, found {sql!r}.", place)
    return tree


def text(tree: exp.Expression) -> str:
    return tree.sql(dialect="duckdb", normalize_functions="lower")


def columns(tree: exp.Expression) -> set[str]:
    """Names of the columns an expression reads; `ref.column` for a column along a key."""
    return {_column_name(column) for column in tree.find_all(exp.Column)}


def _column_name(column: exp.Column) -> str:
    parts = [part.name for part in column.parts]
    return ".".join(parts)


def flatten(tree: exp.Expression) -> exp.Expression:
    """`ref.column` becomes the one identifier "ref.column", as the fact exposes it."""

    def step(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column) and len(node.parts) > 1:
            return exp.column(exp.to_identifier(_column_name(node), quoted=True))
        return node

    return tree.transform(step)


def conjunction(terms: Iterable[str]) -> str:
    parts = [term for term in terms if term]
    if len(parts) == 1:
        return parts[0]
    return " and ".join(f"({part})" for part in parts)


def active(conditions: Iterable[Condition], settings: Mapping[str, Any]) -> list[Condition]:
    """The terms of a `where` whose setting, if they name one, is neither empty nor false."""
    return [term for term in conditions if not term.when or settings.get(term.when)]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate of an expression, with the filter under which its rows count.

    sql: the aggregate, filter included. total: count of the rows under the filter. used: count of
    those whose argument is not null (None where every row is used). inputs: columns in the
    argument.
    """

    sql: str
    condition: str
    total: str
    used: str | None
    inputs: tuple[str, ...]
    is_additive: bool
    is_distinct: bool


@dataclass(frozen=True)
class Split:
    """An expression, split: `outer` is arithmetic over placeholders `{0}`, `{1}` for the
    aggregates."""

    outer: str
    aggregates: tuple[Aggregate, ...]
    columns: frozenset[str]
    is_additive: bool


def _count(condition: str, argument: str = "*") -> str:
    return f"count({argument})" + (f" filter (where {condition})" if condition else "")


def split(sql: str, condition: str, place: Place = NOWHERE) -> Split:
    """Take an aggregate expression apart; `condition` is added to the filter of each aggregate.

    Raises ConfigError when the expression has no aggregate, or a column outside of one.
    """
    tree = flatten(parse(sql, place))
    found: list[Aggregate] = []
    read: set[str] = set()
    conditional = columns(parse(condition)) if condition else set()

    def step(node: exp.Expression) -> exp.Expression:
        inner = node.this if isinstance(node, exp.Filter) else node
        if not isinstance(inner, exp.AggFunc):
            return node
        aggregate = _aggregate(node, condition)
        read.update(columns(node))
        read.update(conditional)
        if aggregate not in found:
            found.append(aggregate)
        return exp.column(f"__{found.index(aggregate)}__")

    outer = tree.transform(step)
    if not found:
        raise failure(f"expected an aggregate such as count(*) or sum(x), found {sql!r}.", place)
    loose = sorted(name for name in columns(outer) if not name.startswith("__"))
    if loose:
        raise failure(
            f"column {loose[0]!r} stands outside of an aggregate in {sql!r}.",
            place,
            "Put it into sum(), max() or the like.",
        )
    shape = text(outer)
    for number in range(len(found)):
        shape = shape.replace(f"__{number}__", f"{{{number}}}")
    return Split(
        shape,
        tuple(found),
        frozenset(read),
        len(found) == 1 and shape == "{0}" and found[0].is_additive,
    )


def _aggregate(node: exp.Expression, condition: str) -> Aggregate:
    own = ""
    inner = node
    if isinstance(node, exp.Filter):
        inner = node.this
        own = text(node.expression.this)
    both = conjunction([condition, own]) if own != condition else condition
    bare = text(inner)
    argument = _argument(inner)
    is_distinct = inner.find(exp.Distinct) is not None
    is_rowless = isinstance(inner, _ROWLESS) and not isinstance(inner, exp.Count)
    used = None
    if argument is not None and not is_distinct and not is_rowless:
        used = _count(both, text(argument))
    return Aggregate(
        sql=bare + (f" filter (where {both})" if both else ""),
        condition=both,
        total=_count(both),
        used=used,
        inputs=tuple(sorted(columns(argument))) if argument is not None else (),
        is_additive=isinstance(inner, (exp.Count, exp.CountIf, exp.Sum)),
        is_distinct=is_distinct,
    )


def _argument(inner: exp.Expression) -> exp.Expression | None:
    argument = inner.this
    if isinstance(argument, exp.Distinct):
        return argument.expressions[0] if argument.expressions else None
    if argument is None or isinstance(argument, exp.Star):
        return None
    return argument if isinstance(argument, exp.Expression) else None


def check_model(sql: str, file: str) -> None:
    """A model must be one SELECT; anything that writes, loads or sets is refused.

    The session is read-only and locked down as well; this gives the error its file and line.
    """
    try:
        tree = parse_one(sql, read="duckdb")
    except SqlglotError as exc:
        errors = getattr(exc, "errors", None) or [{}]
        line, column = errors[0].get("line", 1), errors[0].get("col", 1)
        what = errors[0].get("description", str(exc))
        raise failure(f"this is no SQL: {what}.", Place(file, line, column)) from exc
    if not isinstance(tree, exp.Query) or any(tree.find_all(*_FORBIDDEN)):
        raise failure("expected one SELECT statement.", Place(file, 1, 1))


_CONDITIONS = (exp.Predicate, exp.Connector, exp.Not, exp.Boolean, exp.Func, exp.Case)


def check_condition(sql: str, column_type: Callable[[str], str], place: Place) -> None:
    """Refuse what DuckDB would read as a condition although it is none, such as a number.

    column_type: SQL type of a column by its name (`owner.team`), empty when unknown.
    """
    tree = parse(sql, place).unnest()
    if isinstance(tree, exp.Column):
        if column_type(_column_name(tree)) in ("", "BOOLEAN"):
            return
    elif isinstance(tree, _CONDITIONS):
        return
    raise failure(f"expected a condition that is true or false, found {sql!r}.", place)
