"""Small numbers in place of the texts that many rows are grouped by.

The rows of a question's row sets carry the team, segment and lead source of their deal. Where deals
are kept for several row sets, they keep such a text as a value of an enumeration: one byte, which
joins copy and groups compare, in place of sixteen (measured: a tenth to four tenths of a row set).
The names of the groups are put back as texts at the end of the statement.

An enumeration holds every value that the column has at that moment, perhaps those of left-out rows
as well, and the name of the empty group. It never stands for the text itself: its order is not that
of the letters.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from crmetrics.warehouse.placeholders import identifier, literal

_FEW = 1_000
_LOOKED_AT = 20_000
_FEW_ENTRIES = 12
"""Values up to which a map is as good to search as the table behind a cast."""
NONE = "(none)"
"""The name of the group of rows that have no value."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A text column that kept rows are grouped by.

    relation: SQL name of what holds it. alias: under which the kept rows join it; `f` = their own.
    table: where the relation has it from as it is, which costs less to read; never for a computed
    column.
    """

    alias: str
    relation: str
    column: str
    table: str = field(default="", compare=False)

    @property
    def type(self) -> str:
        """The name of its enumeration."""
        return identifier(f"values_of_{self.relation.removeprefix('live_')}_{self.column}")

    @property
    def code(self) -> str:
        """The name of the column that holds the value of the enumeration."""
        return f"code of {self.column}"

    @property
    def few_sql(self) -> str:
        """A query of whether it has few values, as far as the first rows tell."""
        column = identifier(self.column)
        return (
            f"select count(distinct {column}) <= {_FEW}"
            f" from (select {column} from {self.table or self.relation} limit {_LOOKED_AT})"
        )

    def type_sql(self) -> str:
        column = identifier(self.column)
        return (
            f"create or replace temp type {self.type} as enum (\n"
            f"select {column} from {self.table or self.relation} where {column} is not null\n"
            f"union select {literal(NONE)}\norder by all\n)"
        )

    def own_sql(self) -> str:
        """The value of the enumeration, where the kept rows have the text themselves."""
        return self.value_of(f"f.{identifier(self.column)}")

    def value_of(self, text: str) -> str:
        """SQL of the value of the enumeration, of SQL of a text; an error where it has none.

        DuckDB casts each row, but asks a map once for each entry of a dictionary, which is how it
        stores few texts (measured: 15 of 20 ns a row less; 10 more without a dictionary). The cast
        stays for the texts that the map does not have: null, or unknown, which must not be null.
        """
        values = f"enum_range(null::{self.type})"
        entry = f"coalesce(map({values}, {values}::{self.type}[])[{text}], {text}::{self.type})"
        return (
            f"case when len({values}) <= {_FEW_ENTRIES} then {entry} else {text}::{self.type} end"
        )

    def named(self, sql: str) -> str:
        """SQL of the group's name, of SQL that gives the value of the enumeration or a text."""
        return f"coalesce({sql}, {literal(NONE)}::{self.type})"


def text_name(sql: str) -> str:
    """SQL of the group's name as a text, of SQL of any value."""
    return f"coalesce(({sql})::varchar, {literal(NONE)})"


def can_be_coded(column: str, kind: str) -> bool:
    """True for texts that are worth grouping by; a key has as many values as there are records, and
    a source is compared wherever keys are."""
    return kind == "VARCHAR" and not column.endswith("id") and column != "source"


def with_codes(join: str, coded: Collection[Coded]) -> str:
    """A join of a kept relation, with the values of enumerations beside the texts."""
    for alias, relation in dict.fromkeys((one.alias, one.relation) for one in coded):
        codes = dict.fromkeys(
            f'{one.value_of(identifier(one.column))} as "{one.code}"'
            for one in coded
            if one.alias == alias
        )
        plain = f"left join {relation} {alias} on "
        wide = f"left join (select *, {', '.join(codes)} from {relation}) {alias} on "
        join = join.replace(plain, wide, 1)
    return join


def named_as_text(statement: str, columns: Collection[str]) -> str:
    """The statement that makes a table, with these columns of it as texts."""
    if not columns:
        return statement
    head, _, query = statement.partition("\n")
    texts = ", ".join(f'"{name}"::varchar as "{name}"' for name in columns)
    return f"{head}\nselect * replace ({texts})\nfrom (\n{query}\n)"
