"""SOQL read into a tree. What Salesforce refuses is refused; what only the simulator lacks raises
NotImplementedError, which fails the test that asked for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from simulators.salesforce.errors import Refusal

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)(?![\dT])
    | (?P<number>[+-]?\d+(?:\.\d+)?(?![\w-]))
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<path>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,|:)
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_AGGREGATES = frozenset({"count", "count_distinct", "min", "max", "sum", "avg"})
_LACKING = frozenset({"tolabel", "format", "convertcurrency", "calendar_year", "calendar_month",
                      "day_only", "converttimezone", "distance", "fiscal_year"})  # fmt: skip
_SIGNS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_LONGEST_QUERY, _LONGEST_STRING, _MAX_OFFSET = 100_000, 4_000, 2_000


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class Literal:
    """A value of a comparison. kind: datetime, date, number, string, boolean, null or relative."""

    kind: str
    value: Any
    text: str


@dataclass(frozen=True)
class Comparison:
    path: str
    at: int
    sign: str
    literals: tuple[Literal, ...]
    subquery: Query | None = None


@dataclass(frozen=True)
class Junction:
    """and, or, not."""

    kind: str
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Column:
    """A selected field, or an aggregate of one. name: how it is called in the result."""

    path: str
    at: int
    aggregate: str = ""
    name: str = ""


@dataclass(frozen=True)
class Ordering:
    path: str
    at: int
    is_descending: bool
    is_nulls_last: bool | None


@dataclass(frozen=True)
class Query:
    text: str
    columns: tuple[Column, ...]
    object: str
    object_at: int
    where: Any = None
    group_by: tuple[Column, ...] = ()
    order_by: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int | None = None
    is_count: bool = False
    fields_of: str = ""

    @property
    def is_aggregate(self) -> bool:
        return bool(self.group_by) or any(column.aggregate for column in self.columns)


def malformed(message: str) -> Refusal:
    return Refusal("MALFORMED_QUERY", message)


def parse(text: str) -> Query:
    """The query of a text; raises Refusal as Salesforce does."""
    if len(text) > _LONGEST_QUERY:
        raise malformed(f"SOQL statements cannot be longer than {_LONGEST_QUERY:,} characters.")
    parser = _Parser(text)
    query = parser.query()
    parser.end()
    return query


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.place = 0

    # --- tokens ------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def next(self) -> Token:
        token = self.token
        self.place += token.kind != "end"
        return token

    def is_word(self, *words: str) -> bool:
        return self.token.kind == "path" and self.token.text.lower() in words

    def accept(self, *words: str) -> bool:
        found = self.is_word(*words) or (self.token.kind == "sign" and self.token.text in words)
        if found:
            self.next()
        return found

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.unexpected()

    def unexpected(self) -> Refusal:
        shown = self.token.text or "<EOF>"
        line = self.text.count("\n", 0, self.token.at) + 1
        return malformed(f"line {line}:{self.token.at} unexpected token: '{shown}'")

    def path(self) -> Token:
        if self.token.kind != "path":
            raise self.unexpected()
        return self.next()

    def number(self) -> int:
        if self.token.kind != "number" or not self.token.text.isdigit():
            raise self.unexpected()
        return int(self.next().text)

    def end(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected()

    # --- clauses -----------------------------------------------------------------------------

    def query(self) -> Query:
        self.expect("select")
        columns, is_count, fields_of = self.columns()
        self.expect("from")
        source = self.path()
        if not self.is_word("where", "group", "order", "limit", "offset", "using", "with", "for",
                            "all", "having") and self.token.kind == "path":  # fmt: skip
            raise NotImplementedError(f"an alias in {self.text!r}")
        where = self.condition() if self.accept("where") else None
        grouped = self.grouping()
        ordered = self.ordering()
        limit = self.number() if self.accept("limit") else None
        offset = self.number() if self.accept("offset") else None
        if offset is not None and offset > _MAX_OFFSET:
            raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        if self.is_word("using", "with", "for", "having"):
            raise NotImplementedError(f"{self.token.text} in {self.text!r}")
        if fields_of and (limit is None or limit > 200):
            raise malformed("The SOQL FIELDS function must have a LIMIT of at most 200")
        return Query(self.text, tuple(columns), source.text, source.at, where, tuple(grouped),
                     tuple(ordered), limit, offset, is_count, fields_of)  # fmt: skip

    def columns(self) -> tuple[list[Column], bool, str]:
        columns: list[Column] = []
        unnamed = 0
        while True:
            if self.token.text == "(":
                raise NotImplementedError(f"a subquery in the select list of {self.text!r}")
            token = self.path()
            function = token.text.lower()
            if function == "typeof":
                raise NotImplementedError("typeof")
            if self.token.text == "(":
                self.next()
                if function == "count" and self.accept(")"):
                    return [], True, ""
                argument = self.path()
                self.expect(")")
                if function == "fields":
                    return [], False, argument.text.lower()
                if function in _LACKING or function not in _AGGREGATES:
                    raise NotImplementedError(f"{token.text}() in {self.text!r}")
                name = f"expr{unnamed}"
                if self.token.kind == "path" and not self.is_word("from"):
                    name = self.next().text
                else:
                    unnamed += 1
                columns.append(Column(argument.text, argument.at, function, name))
            else:
                name = token.text.rpartition(".")[2]
                if self.token.kind == "path" and not self.is_word("from"):
                    name = self.next().text
                columns.append(Column(token.text, token.at, "", name))
            if not self.accept(","):
                return columns, False, ""

    def grouping(self) -> list[Column]:
        grouped = []
        if self.accept("group"):
            self.expect("by")
            while True:
                token = self.path()
                if self.token.text == "(":
                    raise NotImplementedError(f"{token.text}() in {self.text!r}")
                grouped.append(Column(token.text, token.at, "", token.text.rpartition(".")[2]))
                if not self.accept(","):
                    break
        return grouped

    def ordering(self) -> list[Ordering]:
        ordered = []
        if self.accept("order"):
            self.expect("by")
            while True:
                token = self.path()
                if self.token.text == "(":
                    raise NotImplementedError(f"{token.text}() in {self.text!r}")
                is_descending = self.accept("desc")
                if not is_descending:
                    self.accept("asc")
                nulls_last = None
                if self.accept("nulls"):
                    nulls_last = self.accept("last")
                    if not nulls_last:
                        self.expect("first")
                ordered.append(Ordering(token.text, token.at, is_descending, nulls_last))
                if not self.accept(","):
                    break
        return ordered

    # --- conditions --------------------------------------------------------------------------

    def condition(self) -> Any:
        first = self.negation()
        for word in ("and", "or"):
            if self.is_word(word):
                parts = [first]
                while self.accept(word):
                    parts.append(self.negation())
                if self.is_word("and", "or"):
                    # `a AND b OR c` needs brackets in SOQL.
                    raise self.unexpected()
                return Junction(word, tuple(parts))
        return first

    def negation(self) -> Any:
        if self.accept("not"):
            return Junction("not", (self.negation(),))
        if self.accept("("):
            inner = self.condition()
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Comparison:
        field = self.path()
        if self.token.text == "(":
            raise NotImplementedError(f"{field.text}() in {self.text!r}")
        if self.accept("not"):
            self.expect("in")
            return self.members(field, "not in")
        if self.accept("in"):
            return self.members(field, "in")
        if self.is_word("like", "includes", "excludes"):
            sign = self.next().text.lower()
            if sign != "like":
                raise NotImplementedError(sign)
            return Comparison(field.text, field.at, sign, (self.literal(),))
        if self.token.kind != "sign" or self.token.text not in _SIGNS:
            raise self.unexpected()
        sign = self.next().text.replace("<>", "!=")
        return Comparison(field.text, field.at, sign, (self.literal(),))

    def members(self, field: Token, sign: str) -> Comparison:
        self.expect("(")
        if self.is_word("select"):
            inner = self.query()
            self.expect(")")
            return Comparison(field.text, field.at, sign, (), inner)
        literals = [self.literal()]
        while self.accept(","):
            literals.append(self.literal())
        self.expect(")")
        return Comparison(field.text, field.at, sign, tuple(literals))

    def literal(self) -> Literal:
        token = self.next()
        if token.kind == "datetime":
            return Literal("datetime", _instant(token.text), token.text)
        if token.kind == "date":
            return Literal("date", date.fromisoformat(token.text), token.text)
        if token.kind == "number":
            number = float(token.text) if "." in token.text else int(token.text)
            return Literal("number", number, token.text)
        if token.kind == "string":
            return Literal("string", _unquoted(token.text), token.text)
        word = token.text.lower()
        if token.kind == "path" and word in ("true", "false"):
            return Literal("boolean", word == "true", token.text)
        if token.kind == "path" and word == "null":
            return Literal("null", None, token.text)
        if token.kind == "path" and re.fullmatch(r"[A-Z_]+", token.text):
            raise NotImplementedError(f"the relative date {token.text} in {self.text!r}")
        self.place -= token.kind != "end"
        raise self.unexpected()


def _tokens(text: str) -> Sequence[Token]:
    tokens, place = [], 0
    end = len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            rest = text[place:].lstrip()
            at = len(text) - len(rest)
            line = text.count("\n", 0, at) + 1
            raise malformed(f"line {line}:{at} no viable alternative at character '{rest[:1]}'")
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match[kind], match.start(kind)))
        place = match.end()
    return [*tokens, Token("end", "", end)]


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def _unquoted(text: str) -> str:
    value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1])
    if len(value) > _LONGEST_STRING:
        raise malformed("String literals in a SOQL statement cannot exceed 4,000 characters")
    return value
