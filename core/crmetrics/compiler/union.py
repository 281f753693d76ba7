"""The rows of all parts as one relation, in which no row stands twice.

A KPI with alternatives has several parts, one per way of reading it. A part without rows, or one
whose data are missing, gives one row without a segment that says so; that row must not stand beside
the same of another part, nor beside the total.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MANY = 40
"""Common table expressions of a statement, at most. To bind one costs a look at all before it: in
one statement those of all KPIs of the catalogue cost half as much again, and 70 MB."""

_ONE_EACH = """
select * exclude (is_stand_in, nothing_else, place, missing) replace (
    case when is_stand_in is true then own_flags
      else list_concat(own_flags, coalesce(missing, [])) end as own_flags
  )
from (
  select *,
    bool_and(is_stand_in is true) over (partition by ordinal, slice) as nothing_else,
    row_number() over one_row as place,
    flatten(list(own_flags) filter (where definition_hash = '') over all_of_it) as missing
  from part_rows
  window one_row as (
      partition by ordinal, slice, segment::varchar
      order by is_stand_in is true, definition_hash
    ),
    all_of_it as (partition by ordinal, slice, segment::varchar)
)
where place = 1 and (is_stand_in is not true or nothing_else or definition_hash = '')"""


@dataclass(frozen=True, slots=True)
class PartRows:
    """The rows of one part of the KPI `ordinal`, and the common table expressions they read."""

    ordinal: int
    select: str
    ctes: Sequence[str] = ()


def found(parts: Iterable[PartRows]) -> list[str]:
    """The statements that make the table `found` of the rows of all parts."""
    together = _in_turns(parts)
    queries = [_union(items, is_only=len(together) == 1) for items in together]
    first, *others = queries
    return [
        f"create or replace temp table found as\n{first}",
        *(f"insert into found by name\n{query}" for query in others),
    ]


def _in_turns(parts: Iterable[PartRows]) -> list[list[PartRows]]:
    """The parts for one statement each; those of a KPI stay together."""
    of_kpis: dict[int, list[PartRows]] = {}
    for part in parts:
        of_kpis.setdefault(part.ordinal, []).append(part)
    turns: list[list[PartRows]] = [[]]
    for items in of_kpis.values():
        if len({cte for part in (*turns[-1], *items) for cte in part.ctes}) > _MANY and turns[-1]:
            turns.append([])
        turns[-1] += items
    return turns


def _union(parts: Sequence[PartRows], *, is_only: bool) -> str:
    ctes = list(dict.fromkeys(cte for part in parts for cte in part.ctes))
    union = "\nunion all by name\n".join(part.select for part in parts)
    has_stand_ins = "is_stand_in" in union
    if has_stand_ins and len({part.ordinal for part in parts}) < len(parts):
        return "with " + ",\n".join([*ctes, f"part_rows as (\n{union}\n)"]) + _ONE_EACH
    if has_stand_ins and not is_only:
        union = f"select * exclude (is_stand_in) from (\n{union}\n)"
    return ("with " + ",\n".join(ctes) + "\n" if ctes else "") + union
