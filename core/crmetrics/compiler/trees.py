"""What sqlglot says of SQL texts, as plain values; the only module that imports it.

Every function here is a function of its arguments alone, so that `expressions` may keep the results
between processes: importing sqlglot and parsing cost more than a small answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from crmetrics.compiler.conditions import conjunction, filtered

_FORBIDDEN = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.Command, exp.Create, exp.Drop,
    exp.Attach, exp.Set, exp.Use, exp.Pragma,
)  # fmt: skip
_ROWLESS = (exp.Count, exp.CountIf, exp.LogicalOr, exp.LogicalAnd, exp.Min, exp.Max)
_CONDITIONS = (exp.Predicate, exp.Connector, exp.Not, exp.Boolean, exp.Func, exp.Case)
_KINDS: Mapping[str, type[exp.Expression]] = {
    "count": exp.Count,
    "sum": exp.Sum,
    "min": exp.Min,
    "max": exp.Max,
    "avg": exp.Avg,
    "any": exp.LogicalOr,
}
_INEXACT = (exp.Div, exp.Cast, exp.Pow, exp.Anonymous)
"""What makes a float of exact columns, or may."""


_Rows: TypeAlias = tuple[bool, frozenset[str], frozenset[str]]


class UnusableError(Exception):
    """A text that is not the SQL that was expected. line, column: in the text."""

    def __init__(self, message: str, hint: str = "", line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message, self.hint, self.line, self.column = message, hint, line, column


@lru_cache(maxsize=4096)
def _parsed(sql: str) -> exp.Expression:
    return parse_one(f"select {sql}", read="duckdb").expressions[0]  # type: ignore[no-any-return]


def _parse(sql: str) -> exp.Expression:
    try:
        tree = _parsed(sql).copy()
    except SqlglotError as exc:
        first = str(exc).splitlines()[0].split(". Line")[0]
        raise UnusableError(f"this is no SQL expression: {sql!r} ({first}).") from exc
    if isinstance(tree, exp.Alias) or any(tree.find_all(*_FORBIDDEN, exp.Select)):
        raise UnusableError(f"expected one expression without a query or an alias, found {sql!r}.")
    return tree


def _text(tree: exp.Expression) -> str:
    return tree.sql(dialect="duckdb", normalize_functions="lower")


def _columns(tree: exp.Expression) -> list[str]:
    """The columns in the order in which they stand; `ref.column` for one along a key."""
    names = (_column_name(column) for column in tree.find_all(exp.Column, bfs=False))
    return list(dict.fromkeys(names))


def _column_name(column: exp.Column) -> str:
    return ".".join(part.name for part in column.parts)


def _flatten(tree: exp.Expression) -> exp.Expression:
    """`ref.column` becomes the one identifier "ref.column", as the fact exposes it."""

    def step(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column) and len(node.parts) > 1:
            return exp.column(exp.to_identifier(_column_name(node), quoted=True))
        return node

    return tree.transform(step)


def read(sql: str) -> list[Any]:
    """Text, flattened text and columns of one scalar expression."""
    tree = _parse(sql)
    return [_text(tree), _text(_flatten(tree)), _columns(tree)]


def substitute(sql: str, *columns: str) -> str:
    """The expression with other SQL in place of its columns: name, SQL, name, SQL, ..."""
    others = dict(zip(columns[::2], columns[1::2], strict=True))

    def step(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column) and (name := _column_name(node)) in others:
            return _parse(others[name])
        return node

    return _text(_parse(sql).transform(step))


def condition_kind(sql: str) -> list[str]:
    """`column` and its name; `condition`; or `other`."""
    tree = _parse(sql).unnest()
    if isinstance(tree, exp.Column):
        return ["column", _column_name(tree)]
    return ["condition" if isinstance(tree, _CONDITIONS) else "other", ""]


def aggregate(sql: str) -> list[Any]:
    """Kind, distinct, argument, condition, columns, columns of the argument, and whether it is
    exact, of one aggregate.

    The argument is empty when there is none or it is `*`.
    """
    tree = _parse(sql)
    condition = _text(tree.expression.this) if isinstance(tree, exp.Filter) else ""
    inner = tree.this if isinstance(tree, exp.Filter) else tree
    kind = next((name for name, cls in _KINDS.items() if isinstance(inner, cls)), "")
    is_bare = inner.this is None or isinstance(inner.this, exp.Star) or not kind
    argument = "" if is_bare else _text(inner.this)
    is_distinct = inner.find(exp.Distinct) is not None
    is_exact = inner.find(*_INEXACT) is None
    return [kind, is_distinct, argument, condition, _columns(tree), _columns(inner), is_exact]


def split(sql: str, condition: str) -> list[Any]:
    """Take an aggregate expression apart: outer, aggregates, columns, additive."""
    tree = _flatten(_parse(sql))
    found: list[list[Any]] = []
    seen: set[str] = set()
    conditional = _columns(_parse(condition)) if condition else []

    def step(node: exp.Expression) -> exp.Expression:
        inner = node.this if isinstance(node, exp.Filter) else node
        if not isinstance(inner, exp.AggFunc):
            return node
        part = _aggregate(node, condition)
        seen.update(_columns(node), conditional)
        if part not in found:
            found.append(part)
        return exp.column(f"__{found.index(part)}__")

    outer = tree.transform(step)
    if not found:
        raise UnusableError(f"expected an aggregate such as count(*) or sum(x), found {sql!r}.")
    loose = sorted(name for name in _columns(outer) if not name.startswith("__"))
    if loose:
        raise UnusableError(
            f"column {loose[0]!r} stands outside of an aggregate in {sql!r}.",
            "Put it into sum(), max() or the like.",
        )
    shape = _text(outer)
    for number in range(len(found)):
        shape = shape.replace(f"__{number}__", f"{{{number}}}")
    is_additive = len(found) == 1 and shape == "{0}" and found[0][6]
    return [shape, found, sorted(seen), is_additive]


def _aggregate(node: exp.Expression, condition: str) -> list[Any]:
    own = ""
    inner = node
    if isinstance(node, exp.Filter):
        inner = node.this
        own = _text(node.expression.this)
    both = conjunction([condition, own]) if own != condition else condition
    bare = _text(inner)
    argument = _argument(inner)
    is_distinct = inner.find(exp.Distinct) is not None
    is_rowless = isinstance(inner, _ROWLESS) and not isinstance(inner, exp.Count)
    used = None
    if argument is not None and not is_distinct and not is_rowless:
        used = _count(both, _text(argument))
    return [
        bare + filtered(both),
        both,
        _count(both),
        used,
        _text(argument) if argument is not None else "",
        sorted(_columns(argument)) if argument is not None else [],
        isinstance(inner, (exp.Count, exp.CountIf, exp.Sum)),
        is_distinct,
    ]


def _argument(inner: exp.Expression) -> exp.Expression | None:
    argument = inner.this
    if isinstance(argument, exp.Distinct):
        return argument.expressions[0] if argument.expressions else None
    if argument is None or isinstance(argument, exp.Star):
        return None
    return argument if isinstance(argument, exp.Expression) else None


def _count(condition: str, argument: str = "*") -> str:
    return f"count({argument})" + filtered(condition)


def passes_on(sql: str, column: str) -> bool:
    """Whether a query does nothing with the columns of a name but to select them under this name
    and to group by them."""
    return _only_passes_on(sql, column, may_mark=False)


def gives(sql: str, column: str) -> bool:
    """Whether what a query has under a name is the column as it is: it passes it on, and at most
    tells its values apart by their hash beside."""
    return _only_passes_on(sql, column, may_mark=True)


def _only_passes_on(sql: str, column: str, *, may_mark: bool) -> bool:
    tree = parse_one(sql, read="duckdb")
    if _may_read_whole_rows(tree):
        return False  # It may do anything with them.
    tables = tree.find_all(exp.Table, exp.Subquery, exp.CTE)
    known = {"", *(table.alias_or_name.lower() for table in tables)}
    if any(node.table.lower() not in known for node in tree.find_all(exp.Column)):
        return False  # A field of a struct may be called so as well.
    named = (
        node
        for node in tree.find_all(exp.Column, exp.Identifier)
        if isinstance(node, exp.Column) or isinstance(node.parent, exp.Alias | exp.TableAlias)
        if node.name.lower() == column and not (may_mark and _is_mark(node))
    )
    unions = tree.find_all(exp.SetOperation)
    return all(_is_passed_on(node, column) for node in named) and all(
        _stands_in_one_place(union, column) for union in unions
    )


def _is_mark(node: exp.Expression) -> bool:
    above = node.parent
    return isinstance(above, exp.Anonymous) and above.name.lower() == "hash"


def _stands_in_one_place(union: exp.SetOperation, column: str) -> bool:
    """Whether a column is in the same place of both sides, or in none."""
    places = []
    for side in (union.left, union.right):
        shown = [one.unalias() for one in side.selects]
        places.append([n for n, one in enumerate(shown) if one.output_name.lower() == column])
        is_plain = all(isinstance(shown[n], exp.Column) for n in places[-1])
        if not is_plain or any(one.is_star for one in shown):
            return False
    return places[0] == places[1]


def names_columns(sql: str) -> bool:
    """Whether a query names every column that it reads, so that it gives the same rows where there
    are no others."""
    try:
        tree = parse_one(sql, read="duckdb")
    except SqlglotError:
        return False
    stars = (node for node in tree.find_all(exp.Star) if not isinstance(node.parent, exp.Count))
    joins = (node for node in tree.find_all(exp.Join) if node.method)
    others = tree.find_all(exp.Pivot, exp.Summarize, exp.Describe)
    reads_more = any(stars) or any(joins) or any(others) or _may_read_whole_rows(tree)
    return isinstance(tree, exp.Query) and not reads_more


def _may_read_whole_rows(tree: exp.Expr) -> bool:
    tables = tree.find_all(exp.Table, exp.Subquery, exp.CTE)
    rows = {one.alias_or_name.lower() for one in tables}
    names = (node.name.lower() for node in tree.find_all(exp.Column))
    return bool(tree.find(exp.Columns)) or any(name in rows for name in names)


def is_made_of(sql: str, *relations: str) -> bool:
    """Whether a query takes all values from these relations: it reads no other."""
    tree = parse_one(sql, read="duckdb")
    known = {*relations, *(one.alias for one in tree.find_all(exp.CTE))}
    is_plain = not any(tree.find_all(exp.Values, exp.Unnest, exp.Explode, exp.Pivot))
    return is_plain and all(one.name in known for one in tree.find_all(exp.Table))


def rows_from(sql: str, *asked: str) -> list[Any]:
    """What decides which rows a query, known to be one, has: whether it filters or joins by one of
    the relations or functions `asked`; the relations that rows come from; and those of them without
    whose rows it has none. What is joined from the left only widens rows that are there."""
    tree = parse_one(sql, read="duckdb")
    is_asked, taken, required = _rows_from(tree, frozenset(asked), {})
    return [is_asked, sorted(taken), sorted(required)]


_NO_ROWS: _Rows = (False, frozenset(), frozenset())


def _rows_from(node: Any, asked: frozenset[str], known: Mapping[str, _Rows]) -> _Rows:
    """The same of a part of a query. known: of the names behind WITH."""
    if isinstance(node, exp.Query):
        for named in node.ctes:
            name = named.alias.lower()
            known = {**known, name: _rows_from(named.this, asked, {**known, name: _NO_ROWS})}
    if isinstance(node, exp.Table) and not node.args.get("joins"):
        name = node.name.lower()
        return known.get(name) or (name in asked, frozenset([name]), frozenset([name]))
    if isinstance(node, exp.SetOperation):
        one, other = (_rows_from(side, asked, known) for side in (node.left, node.right))
        return one[0] or other[0], one[1] | other[1], one[2] & other[2]
    if isinstance(node, exp.Subquery) and not node.args.get("joins"):
        return _rows_from(node.this, asked, known)
    return _rows_of_select(node, asked, known) if isinstance(node, exp.Select) else _NO_ROWS


def _rows_of_select(select: exp.Select, asked: frozenset[str], known: Mapping[str, _Rows]) -> _Rows:
    joins = select.args.get("joins") or []
    inner = [one for one in joins if not (one.side or one.kind == "ANTI" or one.method)]
    is_kept = not any(one.side in ("RIGHT", "FULL") for one in joins)
    first = (select.args.get(name) for name in ("from", "from_") if is_kept)
    parts = [_rows_from(one.this, asked, known) for one in [*filter(None, first), *inner]]
    conditions = [select.args.get(name) for name in ("where", "having", "qualify")]
    conditions += [one.args.get("on") for one in inner]
    is_asked = any(_names(one, asked - known.keys()) for one in conditions if one is not None)
    # Aggregates of all rows are one row, also of none.
    is_one_row = not select.args.get("group") and any(
        one.find(exp.AggFunc) for one in select.expressions
    )
    required = frozenset[str]().union(*(part[2] for part in parts))
    return (
        is_asked or any(part[0] for part in parts),
        frozenset[str]().union(*(part[1] for part in parts)),
        frozenset() if is_one_row else required,
    )


def _names(tree: exp.Expression, names: frozenset[str]) -> bool:
    found = tree.find_all(exp.Table, exp.Anonymous)
    return any(node.name.lower() in names for node in found)


def _is_passed_on(node: exp.Expression, column: str) -> bool:
    if isinstance(node, exp.Identifier):
        # The name of something else; of the column itself where it stands for it.
        named = node.parent.this if isinstance(node.parent, exp.Alias) else None
        return isinstance(named, exp.Column) and named.name.lower() == column
    above = node.parent
    if isinstance(above, exp.Alias):
        return above.alias.lower() == column and isinstance(above.parent, exp.Select)
    if isinstance(above, exp.Select):
        return node in above.expressions
    return isinstance(above, exp.Group)


def check_model(sql: str) -> bool:
    """Whether a model is one SELECT that neither writes, loads nor sets anything."""
    try:
        tree = parse_one(sql, read="duckdb")
    except SqlglotError as exc:
        errors = getattr(exc, "errors", None) or [{}]
        what = errors[0].get("description", str(exc))
        line, column = errors[0].get("line", 1), errors[0].get("col", 1)
        raise UnusableError(f"this is no SQL: {what}.", "", line, column) from exc
    if not isinstance(tree, exp.Query) or any(tree.find_all(*_FORBIDDEN)):
        raise UnusableError("expected one SELECT statement.")
    return True
