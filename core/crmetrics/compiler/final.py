"""From parts to the rows of the result: statuses, flags, intervals and comparisons."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from crmetrics.compiler import expressions
from crmetrics.compiler.assemble import group_columns, numbers_sql
from crmetrics.compiler.plan import Part
from crmetrics.warehouse.placeholders import identifier

BEFORE_AGREED = "before_effective_date"
"""Flag of a period that begins before the definition's `effective_from`."""


class Labelled(Struct, frozen=True):
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


def final_select(item: Labelled, counted: Sequence[str]) -> str:
    """The rows of one part: one per slice and group, the total for every slice (S7).

    counted: the names of the part's `counts`.
    """
    part = item.part
    name = f"p{part.number}"
    dims = group_columns(part)
    has_total = () in part.groupings
    # A slice without any row still shows its total; an always-by entry, which has none, its status.
    stands_in = bool(part.measure.always_by) and not has_total
    join = "left join" if has_total or stands_in else "join"
    shown = [f"{name}.rows > 0"]
    if has_total:
        shown.append(" and ".join(f"{name}.{d} is null" for d in dims) or "true")
    extras = "".join(_extra_join(child, name, dims) for child in part.extras.values())
    columns = [
        *_value_columns(item, name),
        *_counts(part, name, counted),
        *_status_columns(item, name),
    ]
    if stands_in:
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


def _counts(part: Part, row: str, counted: Sequence[str]) -> list[str]:
    """The columns of coverage: those of the part, and what needs a fact of its own."""
    if not part.extras:
        return counts_columns(counted, f"{row}.counts")
    found = {key: f"{row}.counts[{place}]" for place, key in enumerate(counted, start=1)}
    for key, child in part.extras.items():
        own = f"coalesce(p{child.number}.value, 0)"
        found[key] = f"coalesce(nullif({own}, 0), {found[key]})" if key in found else own
    return counts_columns(found, numbers_sql(found.values()))


def counts_columns(names: Iterable[str], numbers: str) -> list[str]:
    """The names and the numbers of coverage as two columns of a result row."""
    return [f"{_literal_list([*names])} as counted", f"{numbers} as counts"]


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
  {intervals},
  {changes},
  list_filter(list_zip(r.counted, r.counts), lambda e: e[2] <> 0) as coverage,
  list_concat(r.states[2:], r.own_flags,
    case when r.min_sample > 0 and r.value is not null
      and coalesce(r.denominator, r.n) < r.min_sample then ['low_sample'] else [] end) as flags,
  r.definition_hash
from rated r{joins}
where r.is_reported
order by r.ordinal, r.variant, r.period_start, cardinality(r.segment), r.segment::varchar"""

_Z = "1.959963984540054"


def wilson(sign: str) -> str:
    """The bound of the 95 % Wilson score interval of numerator out of denominator (N5)."""
    rate, size = "(r.numerator / r.denominator)", "r.denominator"
    spread = f"{_Z} * sqrt({rate} * (1 - {rate}) / {size} + {_Z}*{_Z} / (4 * {size} * {size}))"
    return f"({rate} + {_Z}*{_Z} / (2 * {size}) {sign} {spread}) / (1 + {_Z}*{_Z} / {size})"


def _interval(side: str, sign: str, *, has_rates: bool) -> str:
    """A bound of the 95 % interval; null where none can be given."""
    bound = f"r.value {sign} {_Z} * r.standard_error"
    if has_rates:
        rate = f"when r.is_rate and r.denominator > 0 then {wilson(sign)}"
        bound = f"case {rate}\n    when r.standard_error is not null then {bound} end"
    return f"{bound} as interval_{side}"


_COMPARED = {"previous": ("p", "previous_value", "change"),
             "year_ago": ("y", "year_ago_value", "year_ago_change")}  # fmt: skip
"""Slice to compare with -> alias of its row, and the columns of the result."""


def _change(which: str, base: str, *, is_asked: bool) -> str:
    """The value that a row is compared with, and how it changed since."""
    row, value, change = _COMPARED[which]
    if not is_asked:
        return f"null::double as {value}, null::double as {change}"
    return (
        f"{row}.value as {value},\n"
        f"  case when r.is_maturing or {row}.is_maturing then null\n"
        f"    when r.unit in ('percent', 'points') then r.value - {row}.value\n"
        f"    when {row}.value > 0 or abs({row}.value) >= {base}\n"
        f"      then (r.value - {row}.value) / abs({row}.value)\n"
        f"  end as {change}"
    )


def _join(which: str) -> str:
    """The join to the row that a row is compared with. Without a comparison it is not looked for:
    a hash of all segments would cost as much as the rest of the statement."""
    row = _COMPARED[which][0]
    return (
        f"\nleft join rated {row} on {row}.slice = r.{which} and {row}.ordinal = r.ordinal"
        f" and {row}.segment = r.segment"
    )


def result_select(min_base: float | None, compared: Collection[str], *, has_rates: bool) -> str:
    """The last statement: statuses by precedence (N6), intervals (N5) and comparisons (P8).

    compared: which of `previous` and `year_ago` any slice has. has_rates: whether any value is a
    share of counts.
    """
    base = "'infinity'::double" if min_base is None else f"{float(min_base)!r}::double"
    sides = {"low": "-", "high": "+"}.items()
    return RESULT_SELECT.format(
        intervals=",\n  ".join(_interval(*side, has_rates=has_rates) for side in sides),
        changes=",\n  ".join(_change(each, base, is_asked=each in compared) for each in _COMPARED),
        joins="".join(_join(each) for each in _COMPARED if each in compared),
    )
