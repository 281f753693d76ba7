"""From row sets to the result: arithmetic over aggregated rows, statuses and comparisons.

Each part becomes a common table expression `pN(slice, "by ...", value, numerator, denominator, n,
coverage, updated, is_covered)`; a formula joins the parts of its inputs on slice and group. What is
joined here are aggregated rows, so the cost follows the size of the answer, not of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from crmetrics.compiler import expressions
from crmetrics.compiler.expressions import failure
from crmetrics.compiler.fact import quoted
from crmetrics.compiler.plan import Part
from crmetrics.compiler.rowset import Compiled
from crmetrics.errors import did_you_mean

_EMPTY_MAP = "map([]::varchar[], []::double[])"
BEFORE_AGREED = "before_effective_date"
"""Flag of a period that begins before the definition's `effective_from`."""

_FIELDS = ("value", "numerator", "denominator", "n")


@dataclass(frozen=True)
class Assembler:
    """Writes the CTEs of parts.

    compiled: operand number -> where its parts stand. excluded: operand number -> the table of
    excluded rows and its columns by coverage key. windows: operand number -> that of the operand
    under which its windows stand in `slice_windows`.
    """

    compiled: Mapping[int, Compiled]
    excluded: Mapping[int, tuple[str, Mapping[str, str]]]
    windows: Mapping[int, int]

    def ctes(self, part: Part) -> list[str]:
        """The CTEs of a part and of what it reads, in order; the last is `p{number}`. Several parts
        may have some of them in common."""
        found: list[str] = []
        for child in (*part.inputs.values(), *part.extras.values()):
            found += self.ctes(child)
        if part.operand is not None:
            found += [self._sliced(part), self._leaf(part)]
        else:
            found.append(self._formula(part))
        return found

    def is_additive(self, part: Part) -> bool:
        return part.operand is not None and self.compiled[part.operand.number].is_additive

    # --- leaves ----------------------------------------------------------------------------------

    def _leaf(self, part: Part) -> str:
        assert part.operand is not None
        number = part.operand.number
        at = self.compiled[number]
        dims = [quoted(f"by {name}") for name in part.dimensions]
        counts = {"rows_used": at.n, **at.coverage}
        if number in self.excluded:
            _, columns = self.excluded[number]
            counts |= {key: f"coalesce({alias}, 0)" for key, alias in columns.items()}
        columns_sql = [
            "slice",
            *dims,
            f"({at.value})::double as value",
            f"({at.numerator})::double as numerator",
            f"({at.denominator})::double as denominator",
            f"({at.n})::bigint as n",
            f"({at.rows})::bigint as rows",
            f"{coverage_sql(counts)} as coverage",
            f"({at.updated})::bigint as updated",
            f"({at.standard_error})::double as standard_error",
        ]
        return (
            f"p{part.number} as (\n  select "
            + ",\n    ".join(columns_sql)
            + f"\n  from {self._sliced_name(part)}\n)"
        )

    def _sliced_name(self, part: Part) -> str:
        assert part.operand is not None
        number = part.operand.number
        return f"{self.compiled[number].rowset}_by_slice_{self.windows[number]}"

    def _sliced(self, part: Part) -> str:
        """The rows of a row set by slice, beside them what was left out: the same for all parts
        that read its windows alike."""
        assert part.operand is not None
        number = part.operand.number
        name, table = self._sliced_name(part), self.compiled[number].rowset
        dims = [quoted(f"by {name}") for name in part.dimensions]
        shown, join, window = ["r.* exclude (window_id)"], "", "r.window_id"
        if number in self.excluded:
            excluded, _ = self.excluded[number]
            terms = ["x.window_id = r.window_id"]
            terms += [f"x.{d} is not distinct from r.{d}" for d in dims]
            # Full: where all rows of a group were left out, that is what there is to say.
            join = f"\n  full join {excluded} x on " + " and ".join(terms)
            window = "coalesce(r.window_id, x.window_id)"
            keys = ", ".join(["window_id", *dims])
            shown = [f"coalesce(r.{d}, x.{d}) as {d}" for d in dims]
            shown += [f"r.* exclude ({keys})", f"x.* exclude ({keys})"]
        return (
            f"{name} as (\n  select sw.slice,\n    "
            + ",\n    ".join(shown)
            + f"\n  from {table} r{join}\n"
            f"  join slice_windows sw on sw.window_id = {window}"
            f" and sw.operand = {self.windows[number]}\n)"
        )

    # --- formulas --------------------------------------------------------------------------------

    def _formula(self, part: Part) -> str:
        if part.measure.over:
            return self._formula_over(part)
        dims = [quoted(f"by {name}") for name in part.dimensions]
        keys = self._input_keys(part, dims)
        if () in part.groupings:
            empty = "".join(f", null as {d}" for d in dims)
            keys += f" union select slice{empty} from slices"
        joins = [self._input_join(child, dims) for child in part.inputs.values()]
        value = self._over_inputs(part, "value")
        columns = [
            "k.slice",
            *(f"k.{d}" for d in dims),
            f"({value})::double as value",
            f"({self._over_inputs(part, 'numerator') or 'null'})::double as numerator",
            f"({self._over_inputs(part, 'denominator') or 'null'})::double as denominator",
            f"({self._over_inputs(part, 'n') or self._first_n(part)})::bigint as n",
            f"{' + '.join(f'coalesce(p{c.number}.rows, 0)' for c in part.inputs.values())} as rows",
            f"{self._merged_coverage(part)} as coverage",
            f"{' + '.join(f'coalesce(p{c.number}.updated, 0)' for c in part.inputs.values())}"
            " as updated",
        ]
        return (
            f"p{part.number} as (\n  select "
            + ",\n    ".join(columns)
            + f"\n  from ({keys}) k\n  "
            + "\n  ".join(joins)
            + "\n)"
        )

    def _input_keys(self, part: Part, dims: Sequence[str]) -> str:
        """Slice and group of every row of an input that is split by all dimensions of the group."""
        found = []
        for child in part.inputs.values():
            own = set(_dims(child))
            groups = [{quoted(f"by {name}") for name in group} for group in part.groupings]
            within = [_is_group(group, own) for group in groups if group and group <= own]
            shown = "".join(f", {d if d in own else 'null as ' + d}" for d in dims)
            where = "true" if set(dims) <= own else " or ".join(within) or "false"
            found.append(f"select slice{shown} from p{child.number} where rows > 0 and ({where})")
        return " union ".join(found)

    def _input_join(self, child: Part, dims: Sequence[str]) -> str:
        name = f"p{child.number}"
        own = _dims(child)
        terms = [f"{name}.slice = k.slice"]
        terms += [f"{name}.{d} is not distinct from k.{d}" for d in dims if d in own]
        # Of an input that is split further (always-by), a formula that is not reads the total.
        terms += [f"{name}.{d} is null" for d in own if d not in dims]
        return f"left join {name} on " + " and ".join(terms)

    def _formula_over(self, part: Part) -> str:
        """A formula that aggregates the rows of its inputs over further dimensions: one SELECT per
        grouping, as the rows of several groupings stand side by side in the inputs."""
        dims = _dims(part)
        fine = list(dict.fromkeys((*dims, *(quoted(f"by {name}") for name in part.measure.over))))
        joins = "\n  ".join(self._input_join(child, fine) for child in part.inputs.values())
        rows = " + ".join(f"coalesce(p{c.number}.rows, 0)" for c in part.inputs.values())
        updated = " + ".join(f"coalesce(p{c.number}.updated, 0)" for c in part.inputs.values())
        selects = []
        for grouping in part.groupings:
            group = [quoted(f"by {name}") for name in grouping]
            within = {*group, *(quoted(f"by {name}") for name in part.measure.over)}
            where = " and ".join(f"k.{d} is {'not ' if d in within else ''}null" for d in fine)
            columns = [
                "k.slice",
                *(f"k.{d}" if d in group else f"null as {d}" for d in dims),
                f"({self._over_inputs(part, 'value')})::double as value",
                f"({self._over_inputs(part, 'numerator') or 'null'})::double as numerator",
                f"({self._over_inputs(part, 'denominator') or 'null'})::double as denominator",
                f"({self._over_inputs(part, 'n') or f'sum({self._first_n(part)})'})::bigint as n",
                f"sum({rows}) as rows",
                f"{_EMPTY_MAP} as coverage",
                f"sum({updated}) as updated",
            ]
            selects.append(
                "select "
                + ",\n    ".join(columns)
                + f"\n  from ({self._input_keys(part, fine)}) k\n  {joins}\n  where {where}"
                + f"\n  group by k.slice{''.join(', k.' + d for d in group)}"
            )
        return f"p{part.number} as (\n  " + "\n  union all\n  ".join(selects) + "\n)"

    def _first_n(self, part: Part) -> str:
        return f"p{next(iter(part.inputs.values())).number}.n"

    def _merged_coverage(self, part: Part) -> str:
        """The counts of all inputs; where several count the same, at least the largest is true."""
        maps = [
            f"coalesce(p{child.number}.coverage, {_EMPTY_MAP})" for child in part.inputs.values()
        ]
        if len(maps) == 1:
            return maps[0]
        keys = ", ".join(f"map_keys({each})" for each in maps)
        values = ", ".join(f"{each}[key]" for each in maps)
        return (
            f"map_from_entries(list_transform(list_distinct(list_concat({keys})),"
            f" lambda key: {{'k': key, 'v': list_max([{values}])}}))"
        )

    def _over_inputs(self, part: Part, key: str) -> str:
        """An expression of the definition with its inputs in place of their names."""
        sql = getattr(part.measure, key)
        if not sql and key == "value" and part.measure.is_ratio:
            numerator = self._over_inputs(part, "numerator")
            return f"({numerator}) / nullif({self._over_inputs(part, 'denominator')}, 0)"
        if not sql:
            return ""
        place = part.measure.place(key)
        columns = {}
        for column in expressions.columns(sql, place):
            names = column.split(".")
            child = part.inputs.get(names[0])
            field = names[1] if len(names) == 2 else "value"
            if child is None or field not in _FIELDS or len(names) > 2:
                raise failure(
                    f"{part.label}: {column!r} is no input.",
                    place,
                    did_you_mean(names[0], part.inputs) or f"Inputs: {', '.join(part.inputs)}.",
                )
            columns[column] = f"p{child.number}.{field}"
            if field in ("n",) or (field == "value" and self.is_additive(child)):
                columns[column] = f"coalesce(p{child.number}.{field}, 0)"
        return expressions.substituted(sql, columns, place)


def _is_group(group: Collection[str], dims: Collection[str]) -> str:
    """SQL that is true for a row of this group: of the dimensions, it has these and no others."""
    return " and ".join(f"{d} is {'not ' if d in group else ''}null" for d in sorted(dims))


def _dims(part: Part) -> list[str]:
    return [quoted(f"by {name}") for name in part.dimensions]


def coverage_sql(counts: Mapping[str, str]) -> str:
    """A map of the named counts that are not zero."""
    entries = [f"{{'k': '{name}', 'v': ({sql})::double}}" for name, sql in counts.items()]
    return f"map_from_entries(list_filter([{', '.join(entries)}], lambda e: e.v <> 0))"


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
    dims: tuple[str, ...] = ()
    early: tuple[int, ...] = ()


def final_select(item: Labelled, render: Callable[[str], str]) -> str:
    """The rows of one part: one per slice and group, the total for every slice (S7)."""
    part = item.part
    name = f"p{part.number}"
    dims = _dims(part)
    has_total = () in part.groupings
    # A slice without any row still shows its total; an always-by entry, which has none, its status.
    join = "left join" if has_total or part.measure.always_by else "join"
    shown = [f"{name}.rows > 0"]
    if has_total:
        shown.append(" and ".join(f"{name}.{d} is null" for d in dims) or "true")
    extras = "".join(_extra_join(child, name, dims) for child in part.extras.values())
    columns = [*_value_columns(item, name), *_status_columns(item, name, render)]
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
    coverage = f"coalesce({name}.coverage, {_EMPTY_MAP})"
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


def _status_columns(item: Labelled, name: str, render: Callable[[str], str]) -> list[str]:
    part = item.part
    return [
        f"{_in_list('k.slice', item.uncovered)} as is_uncovered",
        f"{_in_list('k.slice', item.maturing)} as is_maturing",
        "true as is_newer" if item.is_assumed else f"coalesce({name}.updated, 0) > 0 as is_newer",
        f"{str(item.is_stale).lower()} as is_stale",
        f"{str(part.measure.looks_ahead).lower()} as looks_ahead",
        f"{_special(item, name, render)} as special",
        f"{_flags(item, name, render)} as own_flags",
        f"{item.min_sample} as min_sample",
        f"{str(item.is_rate).lower()} as is_rate",
        f"'{item.definition_hash}' as definition_hash",
    ]


def _special(item: Labelled, name: str, render: Callable[[str], str]) -> str:
    if item.undated_status:
        return f"'{item.undated_status}'"
    return special_status(item.part, name, render)


def special_status(part: Part, name: str, render: Callable[[str], str]) -> str:
    """SQL of the status that the definition itself gives (`target_met`), else null."""
    cases = [
        f"when {condition} then '{status}'"
        for status, condition in _conditions(part, name, "status_when", render)
    ]
    return f"case {' '.join(cases)} end" if cases else "null::varchar"


def _flags(item: Labelled, name: str, render: Callable[[str], str]) -> str:
    found = own_flags(item.part, name, render)
    if not item.early:
        return found
    is_early = _in_list("k.slice", item.early)
    return f"list_concat({found}, case when {is_early} then ['{BEFORE_AGREED}'] else [] end)"


def own_flags(part: Part, name: str, render: Callable[[str], str]) -> str:
    """SQL of the flags that the definition itself gives: always, or under a condition."""
    flags = _literal_list(part.measure.flags)
    for flag, condition in _conditions(part, name, "flag_when", render):
        flags = f"list_concat({flags}, case when {condition} then ['{flag}'] else [] end)"
    return flags


def _conditions(
    part: Part, name: str, key: str, render: Callable[[str], str]
) -> Iterator[tuple[str, str]]:
    """Name and condition of each entry of `status_when` or `flag_when`, over the row `name`."""
    for label, sql in getattr(part.measure, key).items():
        text, place = render(sql), part.measure.place(key)
        columns = expressions.columns(text, place)
        others = {column: f"{name}.{column.rpartition('.')[2]}" for column in columns}
        yield label, expressions.substituted(text, others, place)


def segment_sql(row: str, dimensions: Sequence[str]) -> str:
    if not dimensions:
        return "map([]::varchar[], []::varchar[])"
    entries = ", ".join(
        "{'k': '" + name.replace("'", "''") + f"', 'v': {row}.{quoted(f'by {name}')}" + "}"
        for name in dimensions
    )
    return f"map_from_entries(list_filter([{entries}], lambda e: e.v is not null))"


def _extra_join(child: Part, row: str, dims: Sequence[str]) -> str:
    name = f"p{child.number}"
    own = _dims(child)
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
