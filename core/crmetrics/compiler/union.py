"""The rows of all parts as one relation, in which no row stands twice.

A KPI with alternatives has several parts, one per way of reading it. A part without rows, or one
whose data are missing, gives one row without a segment that says so; that row must not stand beside
the same of another part, nor beside the total.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def found(ctes: Iterable[str], selects: Sequence[str], ordinals: Sequence[int]) -> str:
    """One statement over the selects of the parts; ordinals: the KPI that each of them is of."""
    union = "\nunion all by name\n".join(selects)
    if len(set(ordinals)) == len(ordinals) or "is_stand_in" not in union:
        named = list(ctes)
        return ("with " + ",\n".join(named) + "\n" if named else "") + union
    return "with " + ",\n".join([*ctes, f"part_rows as (\n{union}\n)"]) + _ONE_EACH
