"""From row sets to parts: arithmetic over aggregated rows.

Each part becomes a common table expression `pN(slice, "by ...", value, numerator, denominator, n,
counts, updated)`; a formula joins the parts of its inputs on slice and group. What is joined here
are aggregated rows, so the cost follows the size of the answer, not of the data.

`counts` is a list of the numbers of coverage in the order of `Assembler.counted`; null where they
are not known. Names stand beside them in the rows of the result only, as a map costs more to make
than all else that a row says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from crmetrics.compiler import expressions
from crmetrics.compiler.expressions import failure
from crmetrics.compiler.plan import Part
from crmetrics.compiler.rowset import Compiled
from crmetrics.errors import did_you_mean
from crmetrics.warehouse.placeholders import identifier

_FIELDS = ("value", "numerator", "denominator", "n")


class Assembler(Struct, frozen=True):
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

    def counted(self, part: Part) -> list[str]:
        """The names of the numbers in the `counts` of a part."""
        if part.operand is not None:
            return [*self._counts(part.operand.number)]
        if part.measure.over:
            return []
        return [
            *dict.fromkeys(key for child in part.inputs.values() for key in self.counted(child))
        ]

    # --- leaves ----------------------------------------------------------------------------------

    def _counts(self, number: int) -> dict[str, str]:
        """Name -> SQL of each number of coverage of an operand, whatever its type."""
        at = self.compiled[number]
        counts = {"rows_used": at.n, **at.coverage}
        if number in self.excluded:
            _, columns = self.excluded[number]
            counts |= {key: f"coalesce({alias}, 0)" for key, alias in columns.items()}
        return counts

    def _leaf(self, part: Part) -> str:
        assert part.operand is not None
        number = part.operand.number
        at = self.compiled[number]
        dims = [identifier(f"by {name}") for name in part.dimensions]
        columns_sql = [
            "slice",
            *dims,
            f"({at.value})::double as value",
            f"({at.numerator})::double as numerator",
            f"({at.denominator})::double as denominator",
            f"({at.n})::bigint as n",
            f"({at.rows})::bigint as rows",
            f"{numbers_sql(f'({sql})::double' for sql in self._counts(number).values())} as counts",
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
        dims = [identifier(f"by {name}") for name in part.dimensions]
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
        dims = [identifier(f"by {name}") for name in part.dimensions]
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
            f"{self._merged_counts(part)} as counts",
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
            own = set(group_columns(child))
            groups = [{identifier(f"by {name}") for name in group} for group in part.groupings]
            within = [_is_group(group, own) for group in groups if group and group <= own]
            shown = "".join(f", {d if d in own else 'null as ' + d}" for d in dims)
            where = "true" if set(dims) <= own else " or ".join(within) or "false"
            found.append(f"select slice{shown} from p{child.number} where rows > 0 and ({where})")
        return " union ".join(found)

    def _input_join(self, child: Part, dims: Sequence[str]) -> str:
        name = f"p{child.number}"
        own = group_columns(child)
        terms = [f"{name}.slice = k.slice"]
        terms += [f"{name}.{d} is not distinct from k.{d}" for d in dims if d in own]
        # Of an input that is split further (always-by), a formula that is not reads the total.
        terms += [f"{name}.{d} is null" for d in own if d not in dims]
        return f"left join {name} on " + " and ".join(terms)

    def _formula_over(self, part: Part) -> str:
        """A formula that aggregates the rows of its inputs over further dimensions: one SELECT per
        grouping, as the rows of several groupings stand side by side in the inputs."""
        dims = group_columns(part)
        fine = list(
            dict.fromkeys((*dims, *(identifier(f"by {name}") for name in part.measure.over)))
        )
        joins = "\n  ".join(self._input_join(child, fine) for child in part.inputs.values())
        rows = " + ".join(f"coalesce(p{c.number}.rows, 0)" for c in part.inputs.values())
        updated = " + ".join(f"coalesce(p{c.number}.updated, 0)" for c in part.inputs.values())
        selects = []
        for grouping in part.groupings:
            group = [identifier(f"by {name}") for name in grouping]
            within = {*group, *(identifier(f"by {name}") for name in part.measure.over)}
            where = " and ".join(f"k.{d} is {'not ' if d in within else ''}null" for d in fine)
            columns = [
                "k.slice",
                *(f"k.{d}" if d in group else f"null as {d}" for d in dims),
                f"({self._over_inputs(part, 'value')})::double as value",
                f"({self._over_inputs(part, 'numerator') or 'null'})::double as numerator",
                f"({self._over_inputs(part, 'denominator') or 'null'})::double as denominator",
                f"({self._over_inputs(part, 'n') or f'sum({self._first_n(part)})'})::bigint as n",
                f"sum({rows}) as rows",
                f"{numbers_sql(())} as counts",
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

    def _merged_counts(self, part: Part) -> str:
        """The counts of all inputs; where several count the same, at least the largest is true."""
        if len(part.inputs) == 1:
            (child,) = part.inputs.values()
            return f"p{child.number}.counts"
        found: dict[str, list[str]] = {}
        for child in part.inputs.values():
            for place, key in enumerate(self.counted(child), start=1):
                found.setdefault(key, []).append(f"p{child.number}.counts[{place}]")
        merged = [each[0] if len(each) == 1 else largest(each) for each in found.values()]
        return numbers_sql(merged)

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


def group_columns(part: Part) -> list[str]:
    """The quoted columns of the part's dimensions."""
    return [identifier(f"by {name}") for name in part.dimensions]


def numbers_sql(numbers: Iterable[str]) -> str:
    """A list of numbers; an empty one has a type, too."""
    return f"[{', '.join(numbers)}]::double[]"


def largest(numbers: Sequence[str]) -> str:
    """SQL of the largest of several counts. Zero is none, as null is."""
    return f"greatest({', '.join(f'nullif({each}, 0)' for each in numbers)})"
