"""From parts to the rows of the result: statuses, flags, intervals and comparisons."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from crmetrics.compiler import expressions
from crmetrics.compiler.assemble import EMPTY_MAP, group_columns
from crmetrics.compiler.plan import Part
from crmetrics.warehouse.placeholders import identifier

BEFORE_AGREED = "before_effective_date"
"""Flag of a period that begins before the definition's `effective_from`."""


@dataclass(frozen=True)
class Labelled:
    """What one part contributes to the result: names, unit and the rules of its status.

    maturing: slices whose window is still open. min_sample: flag `low_sample` below it (0 = no
    such rule). is_rate: numerator and denominator are counts, so that an interval can be given.
    is_assumed: it reads dates that nobody recorded. early: slices that begin before the definition
    was agreed.
    """

    ordinal: int
    kpi: str
    variant: str
    unit: str
    part: Part
    is_additive: bool
    is_rate: bool
    min_sample: int
    maturing: tuple[int, ...]
    definition_hash: str
    uncovered: tuple[int, ...] = ()
    undated_status: str = ""
    is_stale: bool = False
    is_assumed: bool = False
    early: tuple[int, ...] = ()


def final_select(item: Labelled) -> str:
    """The rows of one part: one per slice and group, the total for every slice (S7)."""
    part = item.part
    name = f"p{part.number}"
    dims = group_columns(part)
    has_total = () in part.groupings
    # A slice without any row still shows its total; an always-by entry, which has none, its status.
    join = "left join" if has_total or part.measure.always_by else "join"
    shown = [f"{name}.rows > 0"]
    if has_total:
        shown.append(" and ".join(f"{name}.{d} is null" for d in dims) or "true")
    extras = "".join(_extra_join(child, name, dims) for child in part.extras.values())
    columns = [*_value_columns(item, name), *_status_columns(item, name)]
    if not has_total:
        columns.append(f"{name}.rows is null as is_stand_in")
    return (
        "select "
        + ",\n  ".join(columns)
        + f"\nfrom slices k\n{join} {name} on {name}.slice = k.slice and ({' or '.join(shown)})"
        + extras
    )


def _value_columns(item: Labelled, name: str) -> list[str]:
    part = item.part
    uncovered = _in_list("k.slice", item.uncovered)
    zero = "0" if item.is_additive else "null"
    coverage = f"coalesce({name}.coverage, {EMPTY_MAP})"
    if part.extras:
        coverage = f"map_concat({coverage}, {_extra_map(part)})"
    return [
        f"{item.ordinal} as ordinal",
        f"'{item.kpi}' as kpi",
        f"'{item.variant}' as variant",
        f"'{item.unit}' as unit",
        "k.slice",
        f"{segment_sql(name, part.dimensions)} as segment",
        f"case when {uncovered} then null else coalesce({name}.value, {zero}) end as value",
        f"{name}.numerator as numerator",
        f"{name}.denominator as denominator",
        f"coalesce({name}.n, 0) as n",
        f"{coverage} as coverage",
        f"{name}.standard_error" if part.operand else "null::double as standard_error",
    ]


def _status_columns(item: Labelled, name: str) -> list[str]:
    part = item.part
    return [
        f"{_in_list('k.slice', item.uncovered)} as is_uncovered",
        f"{_in_list('k.slice', item.maturing)} as is_maturing",
        "true as is_newer" if item.is_assumed else f"coalesce({name}.updated, 0) > 0 as is_newer",
        f"{str(item.is_stale).lower()} as is_stale",
        f"{str(part.measure.looks_ahead).lower()} as looks_ahead",
        f"{_special(item, name)} as special",
        f"{_flags(item, name)} as own_flags",
        f"{item.min_sample} as min_sample",
        f"{str(item.is_rate).lower()} as is_rate",
        f"'{item.definition_hash}' as definition_hash",
    ]


def _special(item: Labelled, name: str) -> str:
    """SQL of the status that the definition itself gives (`target_met`), else null."""
    if item.undated_status:
        return f"'{item.undated_status}'"
    cases = [
        f"when {condition} then '{status}'"
        for status, condition in _conditions(item.part, name, "status_when")
    ]
    return f"case {' '.join(cases)} end" if cases else "null::varchar"


def _flags(item: Labelled, name: str) -> str:
    """SQL of the flags that the definition itself gives: always, or under a condition."""
    flags = _literal_list(item.part.measure.flags)
    conditions = [*_conditions(item.part, name, "flag_when")]
    if item.early:
        conditions.append((BEFORE_AGREED, _in_list("k.slice", item.early)))
    for flag, condition in conditions:
        flags = f"list_concat({flags}, case when {condition} then ['{flag}'] else [] end)"
    return flags


def _conditions(part: Part, name: str, key: str) -> Iterator[tuple[str, str]]:
    """Name and condition of each entry of `status_when` or `flag_when`, over the row `name`."""
    place = part.measure.place(key)
    for label, sql in getattr(part.measure, key).items():
        columns = expressions.columns(sql, place)
        others = {column: f"{name}.{column.rpartition('.')[2]}" for column in columns}
        yield label, expressions.substituted(sql, others, place)


def segment_sql(row: str, dimensions: Sequence[str]) -> str:
    if not dimensions:
        return "map([]::varchar[], []::varchar[])"
    entries = ", ".join(
        "{'k': '" + name.replace("'", "''") + f"', 'v': {row}.{identifier(f'by {name}')}" + "}"
        for name in dimensions
    )
    return f"map_from_entries(list_filter([{entries}], lambda e: e.v is not null))"


def _extra_join(child: Part, row: str, dims: Sequence[str]) -> str:
    name = f"p{child.number}"
    own = group_columns(child)
    terms = [f"{name}.slice = k.slice"]
    terms += [f"{name}.{d} is not distinct from {row}.{d}" for d in dims if d in own]
    return f"\nleft join {name} on " + " and ".join(terms)


def _extra_map(part: Part) -> str:
    entries = ", ".join(
        f"{{'k': '{name}', 'v': coalesce(p{child.number}.value, 0)}}"
        for name, child in part.extras.items()
    )
    return f"map_from_entries(list_filter([{entries}], lambda e: e.v <> 0))"


def _in_list(column: str, values: Sequence[int]) -> str:
    return f"{column} in ({', '.join(map(str, values))})" if values else "false"


def _literal_list(values: Sequence[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]::varchar[]"


RESULT_SELECT = """\
with rated as (
  select f.*, s.period_start, s.period_end, s.grain, s.is_reported, s.previous, s.year_ago,
    list_filter([
      case when is_uncovered then 'missing_dataset' end,
      case when special is null and value is null and not is_uncovered then 'no_data' end,
      special,
      case when s.is_partial and not looks_ahead then 'partial' end,
      case when is_maturing then 'maturing' end,
      case when is_newer then 'not_reproducible' end,
      case when is_stale then 'stale' end
    ], lambda x: x is not null) as states
  from found f
  join slices s on s.slice = f.slice
)
select
  r.ordinal, r.kpi, r.variant, r.period_start, r.period_end, r.grain, r.segment, r.value, r.unit,
  coalesce(r.states[1], 'ok') as status,
  r.numerator, r.denominator, r.n::bigint as n,
  case when r.is_rate and r.denominator > 0 then {low}
    when r.standard_error is not null then r.value - {z} * r.standard_error end as interval_low,
  case when r.is_rate and r.denominator > 0 then {high}
    when r.standard_error is not null then r.value + {z} * r.standard_error end as interval_high,
  p.value as previous_value,
  case when r.is_maturing or p.is_maturing then null
    when r.unit in ('percent', 'points') then r.value - p.value
    when p.value > 0 or abs(p.value) >= {min_base} then (r.value - p.value) / abs(p.value)
  end as change,
  y.value as year_ago_value,
  case when r.is_maturing or y.is_maturing then null
    when r.unit in ('percent', 'points') then r.value - y.value
    when y.value > 0 or abs(y.value) >= {min_base} then (r.value - y.value) / abs(y.value)
  end as year_ago_change,
  r.coverage,
  list_concat(r.states[2:], r.own_flags,
    case when r.min_sample > 0 and r.value is not null
      and coalesce(r.denominator, r.n) < r.min_sample then ['low_sample'] else [] end) as flags,
  r.definition_hash
from rated r
left join rated p on {previous}
left join rated y on {year_ago}
where r.is_reported
order by r.ordinal, r.variant, r.period_start, cardinality(r.segment), r.segment::varchar"""

_Z = "1.959963984540054"


def wilson(sign: str) -> str:
    """The bound of the 95 % Wilson score interval of numerator out of denominator (N5)."""
    rate, size = "(r.numerator / r.denominator)", "r.denominator"
    spread = f"{_Z} * sqrt({rate} * (1 - {rate}) / {size} + {_Z}*{_Z} / (4 * {size} * {size}))"
    return f"({rate} + {_Z}*{_Z} / (2 * {size}) {sign} {spread}) / (1 + {_Z}*{_Z} / {size})"


def _compared(row: str, which: str, *, is_asked: bool) -> str:
    """The join to the row that a row is compared with. Without a comparison it is not looked for:
    a hash of all segments would cost as much as the rest of the statement."""
    if not is_asked:
        return "false"
    same = f"{row}.ordinal = r.ordinal and {row}.segment = r.segment"
    return f"{row}.slice = r.{which} and {same}"


def result_select(min_base: float | None, compared: Collection[str]) -> str:
    """The last statement: statuses by precedence (N6), intervals (N5) and comparisons (P8).

    compared: which of `previous` and `year_ago` any slice has.
    """
    base = "'infinity'::double" if min_base is None else f"{float(min_base)!r}::double"
    return RESULT_SELECT.format(
        low=wilson("-"),
        high=wilson("+"),
        z=_Z,
        min_base=base,
        previous=_compared("p", "previous", is_asked="previous" in compared),
        year_ago=_compared("y", "year_ago", is_asked="year_ago" in compared),
    )
