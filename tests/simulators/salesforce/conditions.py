"""WHERE clauses as predicates over records, with Salesforce's checks of types and operators."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from simulators.salesforce.errors import Refusal, pictured
from simulators.salesforce.org import long_id
from simulators.salesforce.paths import Binder, BoundPath, Record
from simulators.salesforce.schema import NUMBERS
from simulators.salesforce.soql import Comparison, Junction, Literal, Query

Predicate = Callable[[Record], bool]
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_IDS = frozenset({"id", "reference"})
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Z0-5]{3})?")


def predicate(tree: Any, binder: Binder, ids_of: Callable[[Query], set[Any]]) -> Predicate:
    """The condition as a function. ids_of: runs the query of a semi-join."""
    if tree is None:
        return lambda record: True
    if isinstance(tree, Junction):
        _check_subqueries(tree)
        parts = [predicate(part, binder, ids_of) for part in tree.parts]
        if tree.kind == "and":
            return lambda record: all(part(record) for part in parts)
        if tree.kind == "or":
            return lambda record: any(part(record) for part in parts)
        return lambda record: not parts[0](record)
    bound = binder.bind(tree.path, tree.at)
    _check(tree, bound, binder)
    if tree.subquery is not None:
        return _in(bound, ids_of(tree.subquery), tree.sign)
    return _compare(tree, bound)


def _check_subqueries(junction: Junction) -> None:
    """Semi-joins stand at the top level, joined by AND."""
    if junction.kind == "or" and _has_subquery(junction):
        message = "Semi join sub-selects are not supported with the 'OR' operator"
        raise Refusal("MALFORMED_QUERY", message)
    if junction.kind == "not" and _has_subquery(junction):
        message = (
            "Semi join sub-selects are only allowed at the top level WHERE expressions and not in "
            "nested WHERE expressions."
        )
        raise Refusal("MALFORMED_QUERY", message)


def _has_subquery(tree: Any) -> bool:
    if isinstance(tree, Junction):
        return any(_has_subquery(part) for part in tree.parts)
    return tree.subquery is not None


def _check(comparison: Comparison, bound: BoundPath, binder: Binder) -> None:
    field = bound.field
    if not field.is_filterable:
        message = f"field '{field.name}' can not be filtered in a query call"
        raise Refusal("INVALID_FIELD", pictured(binder.text, comparison.at, message))
    if comparison.sign == "like" and (
        field.kind in _IDS or field.kind in NUMBERS or field.kind in ("date", "datetime", "boolean")
    ):
        message = f"invalid operator on {field.kind} field"
        raise Refusal(
            "INVALID_QUERY_FILTER_OPERATOR", pictured(binder.text, comparison.at, message)
        )
    for literal in comparison.literals:
        _check_type(literal, bound, comparison, binder)


def _check_type(literal: Literal, bound: BoundPath, comparison: Comparison, binder: Binder) -> None:
    kind = bound.field.kind
    if literal.kind == "null":
        return
    wanted, shown, quoted = "string", "string", True
    if kind == "datetime":
        wanted, shown, quoted = "datetime", "dateTime", False
    elif kind == "date":
        wanted, shown, quoted = "date", "date", False
    elif kind == "boolean":
        wanted, shown, quoted = "boolean", "boolean", False
    elif kind in NUMBERS:
        wanted, shown, quoted = "number", "double" if kind != "int" else "int", False
    if literal.kind != wanted:
        should = "should be" if quoted else "should not be"
        message = (
            f"value of filter criterion for field '{bound.field.name}' must be of type {shown} "
            f"and {should} enclosed in quotes"
        )
        raise Refusal("INVALID_FIELD", pictured(binder.text, comparison.at, message))
    if kind in _IDS and not _ID.fullmatch(literal.value):
        message = pictured(binder.text, comparison.at, f"invalid ID field: {literal.value}")
        raise Refusal("INVALID_QUERY_FILTER_OPERATOR", message)


def _value(literal: Literal, kind: str) -> Any:
    if literal.value is None:
        return None
    if kind in _IDS:
        return long_id(literal.value[:15])
    return literal.value.casefold() if isinstance(literal.value, str) else literal.value


def _reading(bound: BoundPath) -> Callable[[Record], Any]:
    """Texts compare without case, ids with it."""
    read = bound.read
    if bound.field.kind in _IDS or bound.field.kind in NUMBERS | {"date", "datetime", "boolean"}:
        return read

    def folded(record: Record) -> Any:
        value = read(record)
        return value.casefold() if isinstance(value, str) else value

    return folded


def _in(bound: BoundPath, values: set[Any], sign: str) -> Predicate:
    read = _reading(bound)
    if sign == "in":
        return lambda record: read(record) in values
    return lambda record: read(record) not in values


def _compare(comparison: Comparison, bound: BoundPath) -> Predicate:
    read, kind, sign = _reading(bound), bound.field.kind, comparison.sign
    values = [_value(literal, kind) for literal in comparison.literals]
    if sign in ("in", "not in"):
        return _in(bound, set(values), sign)
    value = values[0]
    if sign == "=":
        return lambda record: read(record) == value
    if sign == "!=":
        return lambda record: read(record) != value
    if sign == "like":
        text = re.escape(str(value)).replace("%", ".*").replace("_", ".")
        pattern = re.compile(text, re.DOTALL)
        return lambda record: pattern.fullmatch(read(record) or "") is not None
    compare = _ORDER[sign]

    def ordered(record: Record) -> bool:
        found = read(record)
        return found is not None and value is not None and bool(compare(found, value))

    return ordered
