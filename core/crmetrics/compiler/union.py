"""The rows of all parts as one relation, in which no row stands twice.

A KPI with alternatives has several parts, one per way of reading it. A part with a dimension in
every row that has no rows, or one whose data are missing, gives one row without a segment that says
so; that row must not stand beside the same of another part, nor beside the total. Where no part can
give such a row, none is looked for: only one of them has the total.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

_MANY = 40
"""Common table expressions of a statement, at most. To bind one costs a look at all before it: in
one statement those of all KPIs of the catalogue cost half as much again, and 70 MB."""

_ONE_EACH = """
select * exclude (is_stand_in, place, missing) replace (
    case when is_stand_in is true then own_flags
      else list_concat(own_flags, coalesce(missing, [])) end as own_flags
  )
from (
  select *,
    row_number() over one_row as place,
    flatten(list(own_flags) filter (where definition_hash = '') over all_of_it) as missing
  from part_rows{where}
  window one_row as (
      partition by ordinal, slice, segment::varchar
      order by is_stand_in is true, definition_hash
    ),
    all_of_it as (partition by ordinal, slice, segment::varchar)
) r
where place = 1 and (is_stand_in is not true or definition_hash = '' or not exists (
    from part_rows p where p.ordinal = r.ordinal and p.slice = r.slice and p.is_stand_in is not true
  ))"""

_OF_GROUPS = """
select * exclude (is_stand_in) from part_rows where cardinality(segment) > 0
union all by name"""

_WITHOUT_GROUP = " where cardinality(segment) = 0"


class PartRows(Struct, frozen=True):
    """The rows of one part of the KPI `ordinal`, and the common table expressions they read.

    groups: the sets of dimensions that its rows are of; a row may be of none beside.
    """

    ordinal: int
    select: str
    ctes: Sequence[str] = ()
    groups: frozenset[frozenset[str]] = frozenset()


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
        one_each = _one_each(are_apart=_are_apart(parts))
        return "with " + ",\n".join([*ctes, f"part_rows as (\n{union}\n)"]) + one_each
    if has_stand_ins and not is_only:
        union = f"select * exclude (is_stand_in) from (\n{union}\n)"
    return ("with " + ",\n".join(ctes) + "\n" if ctes else "") + union


def _one_each(*, are_apart: bool) -> str:
    """No two rows of the same. Where parts are apart, only rows without a group can be the same:
    to look at all of them costs more than what they say."""
    if not are_apart:
        return _ONE_EACH.format(where="")
    return _OF_GROUPS + _ONE_EACH.format(where=_WITHOUT_GROUP)


def _are_apart(parts: Iterable[PartRows]) -> bool:
    """True when no two parts of a KPI have rows of the same dimensions, which two alternatives of
    one with a dimension in every row may have."""
    groups = Counter((part.ordinal, group) for part in parts for group in part.groups if group)
    return all(count == 1 for count in groups.values())
