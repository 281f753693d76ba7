"""Row sets: the operands that read the same rows in the same groups, in one statement.

The statement aggregates the fact once, with GROUPING SETS for the groups asked for; equal
aggregates of several KPIs are computed once. Its result has `window_id`, one text column `by NAME`
per dimension (null = not part of the group) and the aggregates `a0`, `a1`, ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from crmetrics.catalog import NOWHERE
from crmetrics.compiler import expressions
from crmetrics.compiler.adding import Adding, adds_up, do_overlap, plain
from crmetrics.compiler.coding import named_as_text
from crmetrics.compiler.conditions import conjunction, disjunction, filtered
from crmetrics.compiler.covering import any_of
from crmetrics.compiler.expressions import Aggregate, Split
from crmetrics.compiler.fact import Fact
from crmetrics.compiler.frames import FrameTables
from crmetrics.compiler.grouping import grouped
from crmetrics.compiler.latest import latest_fact, latest_statement, only_latest, orphan_of
from crmetrics.compiler.operand import Operand
from crmetrics.compiler.relations import FIRST_LEAD, virtual_base
from crmetrics.compiler.running import can_run, count_behind, running_statement
from crmetrics.compiler.slices import Clock, Frame
from crmetrics.compiler.surroundings import Surroundings
from crmetrics.warehouse.placeholders import identifier

_PERIOD_COLUMNS = frozenset({"period_start", "window_id"})
"""Columns of a vector that its runs do not have."""


class Compiled(Struct, frozen=True):
    """Where an operand's parts stand in its row set: SQL over the aggregated columns."""

    operand: Operand
    rowset: str
    value: str
    numerator: str
    denominator: str
    n: str
    rows: str
    coverage: Mapping[str, str]
    updated: str
    is_additive: bool
    conditions: tuple[str, ...] = ()
    standard_error: str = "null"


class RowSet(Struct):
    """One statement in the making. mirror: the rows of its model that quality rules left out."""

    number: int
    around: Surroundings
    clock: Clock
    band: Callable[[str], list[float]]
    operands: list[Operand] = field(default_factory=list)
    frame: Frame = field(default_factory=Frame)
    frame_name: str = ""
    compiled: list[Compiled] = field(default_factory=list)
    _aggregates: dict[str, str] = field(default_factory=dict)
    fact: Fact | None = None
    fact_sql: str = ""
    fact_where: list[str] = field(default_factory=list)
    has_runs: bool = False
    has_pieces: bool = False
    layer: int = 0
    mirror: str = ""

    @property
    def relation(self) -> str:
        return self.operands[0].measure.relation

    @property
    def name(self) -> str:
        return f"rowset_{self.suffix}"

    @property
    def excluded_name(self) -> str:
        """The table of the counts of what quality rules left out."""
        return f"excluded_{self.suffix}"

    @property
    def suffix(self) -> str:
        return f"{self.number}_{self.layer + 1}" if self.layer else str(self.number)

    @property
    def tables(self) -> FrameTables:
        return FrameTables(self.frame_name or self.suffix, self.frame, self.clock)

    def add(self, operand: Operand) -> None:
        self.operands.append(operand)
        for window in operand.windows.values():
            self.frame.number(window)

    def layers(self) -> list[RowSet]:
        """The row sets that are computed one after the other and put together in the table of the
        first. A period model finds its period by `period_start`, so periods that begin on one day,
        such as a month and the part of it that a running month is compared with, are in different
        ones."""
        frames = self.frame.layers() if self.operands[0].measure.shape == "period" else []
        if len(frames) < 2:
            return [self]
        return [
            RowSet(
                self.number, self.around, self.clock, self.band, self.operands, frame, layer=layer
            )
            for layer, frame in enumerate(frames)
        ]

    # --- compiling -------------------------------------------------------------------------------

    @property
    def dimensions(self) -> list[str]:
        names: dict[str, None] = {}
        for grouping in self.operands[0].groupings:
            names.update(dict.fromkeys(grouping))
        return list(names)

    def compile(self) -> str:
        """The statement; afterwards `compiled` says where each operand's parts stand."""
        first = self.operands[0]
        fact = self._fact(first)
        conditions = [self._condition(operand) for operand in self.operands]
        shared = conditions[0] if len(set(conditions)) == 1 else ""
        for operand, condition in zip(self.operands, conditions, strict=True):
            self.compiled.append(self._compile(operand, "" if shared else condition, fact))
        for name in self.dimensions:
            fact.dimension(name, first.label.split("/")[0], self.band)
        if fact.is_orphan:
            self.compiled = [self._with_orphans(item) for item in self.compiled]
        where = [self._inner(fact, sql, first) for sql in (shared, first.where) if sql]
        if not shared and all(conditions):
            either = any_of(conditions, fact.relation, self.dimensions, self.around)
            where.append(self._inner(fact, either, first))
        self.fact = fact
        self.fact_where = where
        if self._can_run(fact):
            self.fact_sql = fact.sql(where)
            return named_as_text(self._running(fact, where), fact.coded)
        if first.measure.latest:
            return named_as_text(self._of_latest(fact, where), fact.coded)
        self.fact_sql = fact.sql(where)
        statement = self._added_up(fact, where) or self._statement()
        return named_as_text(statement, fact.coded)

    def _can_run(self, fact: Fact) -> bool:
        """True when the rows may be added up from one period to the next."""
        is_run = self.has_runs and not _PERIOD_COLUMNS & fact.columns_read()
        return (
            (bool(fact.span) or is_run)
            and can_run(list(self._aggregates), fact.relation, has_rates=self.around.has_rates)
            and not fact.reads_windows
            and not self.operands[0].measure.latest
        )

    def _running(self, fact: Fact, where: list[str]) -> str:
        """The statement by way of running sums: of states, or of the runs of a vector."""
        counts: dict[str, str] = {}
        fact = replace(fact, is_running=True)
        if self.has_runs:
            fact = fact.over(f"{fact.relation.name}_runs")
            behind = {alias: count_behind(sql) for sql, alias in self._aggregates.items()}
            counts = {alias: self._alias(count) for alias, count in behind.items() if count}
        return running_statement(
            self.name,
            fact.sql(where),
            self.tables.windows,
            self.operands[0].groupings,
            [(sql, alias) for sql, alias in self._aggregates.items()],
            counts,
        )

    def _added_up(self, fact: Fact, where: list[str]) -> str | None:
        """The statement by way of sums of sums; None where the rows are better grouped at once."""
        measure = self.operands[0].measure
        overlaps = bool(fact.time) and not fact.reads_windows and not measure.latest
        self.has_pieces = overlaps and do_overlap(self.frame.windows)
        asking = {
            self.frame.number(window)
            for operand in self.operands
            if not adds_up(operand.measure)
            for window in operand.windows.values()
        }
        adding = Adding(
            self.name,
            replace(fact, is_by_piece=True).sql(where) if self.has_pieces else self.fact_sql,
            self.dimensions,
            self._aggregates,
            self.operands[0].groupings,
            self.tables.pieces if self.has_pieces else "",
            asking,
        )
        found = adding.statement()
        self.has_pieces = self.has_pieces and found is not None
        return found

    def _with_orphans(self, item: Compiled) -> Compiled:
        """The count of the rows behind a value whose dimension follows a key to nowhere (E6)."""
        either = disjunction(item.conditions) if all(item.conditions) else ""
        condition = f"is_orphan and ({either})" if either else "is_orphan"
        count = self._alias(f"count(*) filter (where {condition})")
        return replace(item, coverage={**item.coverage, "orphan": count})

    def parents(self) -> set[str]:
        """The parents that its dimensions follow a second key of."""
        schema, found = self.around.schema, set()
        relation = schema.relation(self.operands[0].measure.relation)
        for name in self.dimensions:
            derived = schema.derived(relation, name)
            path = schema.dimension_path(relation, name) if derived is None else None
            if path is not None and len(path.hops) > 1 and FIRST_LEAD not in path.hops:
                parent = schema.target(relation, path.hops[0])
                found |= {parent.name} if parent is not None else set()
        return found

    def joined_parents(self) -> list[str]:
        """The same, once for each statement that joins them: the one of the rows, and the one that
        counts what quality rules left out of them."""
        statements = 2 if self.around.reasons(self.operands[0].measure.relation) else 1
        return [*self.parents()] * statements

    def insertion(self, other: RowSet) -> str:
        """The statement that adds the rows of a further layer; by name, as a layer with runs has
        counts beside its sums that one without them does not have."""
        own, theirs = ({*item._aggregates.values()} for item in (self, other))
        columns = ["window_id", *(identifier(f"by {name}") for name in self.dimensions)]
        columns += sorted(own & theirs)
        return f"insert into {self.name} by name\nselect {', '.join(columns)} from {other.name}"

    def rows_sql(self, extra: Sequence[tuple[str, str]]) -> str:
        """The rows of the fact that count, with further columns (SQL, name)."""
        assert self.fact is not None
        fact = self.fact.of_records()
        if self.operands[0].measure.latest:
            rows = latest_fact(fact, self.operands[0].measure, self.fact_where, extra)
            return only_latest(rows, self.operands[0].groupings)
        return fact.sql(self.fact_where, extra)

    def excluded_fact(self) -> Fact | None:
        """The fact over the rows that quality rules left out; None when there are none, or when
        they cannot be told from the rows of a model."""
        if self.fact is None:
            return None
        name = self.fact.relation.name
        parent = self.around.parent_of(name)
        if self.fact.relation.dataset is None:
            return self.fact.over(f"(\n{self.mirror}\n)", parent) if self.mirror else None
        if not self.around.reasons(name):
            return None
        return self.fact.over(f"excluded_{name}", parent)

    def _of_latest(self, fact: Fact, where: list[str]) -> str:
        """The statement over the latest of the rows that are the same."""
        measure, groupings = self.operands[0].measure, self.operands[0].groupings
        if len(groupings) == 1:
            self.fact_sql = only_latest(latest_fact(fact, measure, where), groupings)
            return self._statement()
        orphans = [(fact.orphan_along(names) or "false") for names in groupings]
        further = [(sql, orphan_of(number)) for number, sql in enumerate(orphans)]
        has_orphans = bool(fact.is_orphan)
        self.fact_sql = latest_fact(
            replace(fact, shows_orphans=False), measure, where, further if has_orphans else ()
        )
        return latest_statement(
            self.name, self.fact_sql, groupings, self._aggregates, has_orphans=has_orphans
        )

    def _inner(self, fact: Fact, sql: str, first: Operand) -> str:
        if sql == first.where:
            expressions.check_condition(sql, fact.column_type, first.where_place)
        place = first.where_place if sql == first.where else first.measure.place("where")
        return fact.expression(sql, place)

    def _fact(self, operand: Operand) -> Fact:
        measure = operand.measure
        return Fact(
            self.around,
            self.around.schema.relation(measure.relation),
            self.tables,
            time=measure.time if measure.shape == "event" else "",
            span=measure.span if measure.shape == "state" else None,
            currency=measure.currency,
            rate_day=measure.rate_day,
            place=measure.place("time" if measure.time else "span"),
            label=operand.label,
        )

    def condition_of(self, operand: Operand) -> str:
        """The `where` of an operand over the fact's columns; empty when all its rows count."""
        if len({self._condition(other) for other in self.operands}) == 1:
            return ""
        return self._condition(operand)

    def _condition(self, operand: Operand) -> str:
        terms = [
            expressions.flattened(term.sql, place)
            for place in (operand.measure.place("where"),)
            for term in expressions.active(operand.measure.where, operand.settings)
        ]
        return conjunction(terms)

    def _compile(self, operand: Operand, condition: str, fact: Fact) -> Compiled:
        measure = operand.measure
        parts: dict[str, Split] = {}
        for key in ("value", "numerator", "denominator", "n", "standard_error"):
            sql = getattr(measure, key)
            if sql:
                parts[key] = expressions.split(sql, condition, measure.place(key))
                fact.need(parts[key].columns, measure.place(key))
        main = parts.get("denominator") or parts["value"]
        counted = [a for key in ("numerator", "denominator", "value") if key in parts
                   for a in parts[key].aggregates]  # fmt: skip
        value = (
            self._outer(parts["value"])
            if "value" in parts
            else _ratio(self._outer(parts["numerator"]), self._outer(parts["denominator"]))
        )
        coverage = self._coverage(operand, condition, counted, fact)
        return Compiled(
            operand,
            self.name,
            value,
            self._outer(parts["numerator"]) if "numerator" in parts else "null",
            self._outer(parts["denominator"]) if "denominator" in parts else "null",
            self._outer(parts["n"]) if "n" in parts else self._n(main),
            self._rows(counted),
            coverage,
            self._updated(operand, counted, fact),
            "value" in parts and parts["value"].is_additive,
            tuple(dict.fromkeys(aggregate.condition for aggregate in counted)),
            self._outer(parts["standard_error"]) if "standard_error" in parts else "null",
        )

    def _outer(self, part: Split) -> str:
        sql = part.outer
        for number, aggregate in enumerate(part.aggregates):
            sql = sql.replace(f"{{{number}}}", self._alias(aggregate.sql))
        return sql

    def _alias(self, sql: str) -> str:
        return self._aggregates.setdefault(sql, f"a{len(self._aggregates)}")

    def _used(self, aggregate: Aggregate) -> str:
        """Rows behind an aggregate: those under its filter whose argument is not null."""
        return self._alias(aggregate.used or aggregate.total)

    def _n(self, main: Split) -> str:
        first = main.aggregates[0]
        if main.outer == "{0}" and (first.sql.lower().startswith("count(") or first.is_distinct):
            return self._alias(first.sql)
        return self._used(first)

    def _rows(self, counted: list[Aggregate]) -> str:
        return " + ".join(dict.fromkeys(self._used(a) for a in counted))

    def _coverage(
        self, operand: Operand, condition: str, counted: list[Aggregate], fact: Fact
    ) -> dict[str, str]:
        """Named counts: rows left out for a null measure (N1) or a missing rate (C4), and those
        that the definition counts itself."""
        found: dict[str, str] = {}
        for aggregate in counted:
            if aggregate.used is None or aggregate.used == aggregate.total:
                continue
            for column in aggregate.inputs:
                self._missing(aggregate, column, found, fact)
        for name, sql in operand.measure.coverage.items():
            place = operand.measure.place(f"coverage.{name}")
            part = expressions.split(sql, condition, place)
            fact.need(part.columns, place)
            found[name] = self._outer(part)
        return found

    def _missing(
        self, aggregate: Aggregate, column: str, found: dict[str, str], fact: Fact
    ) -> None:
        base = virtual_base(column) if column not in fact.relation.columns else None
        plain = base or column
        if base is None and fact.relation.dataset is None:
            return  # the columns of a model are its own; it counts what it leaves out itself
        if plain not in fact.relation.columns or plain == operand_time(fact):
            return
        present = f"count({plain})" + filtered(aggregate.condition)
        fact.need([plain], NOWHERE)
        name = f"missing_{plain}"
        missing = f"{self._alias(aggregate.total)} - {self._alias(present)}"
        known = found.get(name, missing)
        found[name] = missing if known == missing else f"greatest({known}, {missing})"
        if base and column.endswith(("_rc", "_cc")):
            converted = f"count({column})" + filtered(aggregate.condition)
            found["missing_rate"] = f"{self._alias(present)} - {self._alias(converted)}"

    def _updated(self, operand: Operand, counted: list[Aggregate], fact: Fact) -> str:
        if not operand.tracks_updates or "updated_at" not in fact.relation.columns:
            return "0"
        fact.need(["updated_at"], NOWHERE)
        moment = f"timestamptz '{self.clock.as_of:%Y-%m-%d %H:%M:%S.%f}+00'"
        sums = []
        for condition in dict.fromkeys(a.condition for a in counted):
            later = conjunction([condition, f"updated_at > {moment}"])
            sums.append(self._alias(f"count(*) filter (where {later})"))
        return " + ".join(sums)

    def _statement(self) -> str:
        aggregates = [f"{plain(sql)} as {alias}" for sql, alias in self._aggregates.items()]
        fact = "\n".join("  " + line for line in self.fact_sql.splitlines())
        query = grouped("fact", "window_id", self.operands[0].groupings, aggregates)
        return f"create or replace temp table {self.name} as\nwith fact as (\n{fact}\n)\n{query}"

    def setup(self) -> list[str]:
        """The temporary tables that the statement joins."""
        tables = self.tables
        statements = [tables.windows_sql()]
        assert self.fact is not None
        if self.fact.time:
            is_cut = not self.operands[0].measure.looks_ahead
            days = tables.days_sql(is_cut=is_cut) if self.fact.is_daily else tables.slots_sql()
            statements.append(days)
            if self.has_pieces:
                statements.append(tables.pieces_sql())
        elif self.fact.span:
            statements.append(tables.readings_sql(is_daily=self.fact.is_daily))
        else:
            statements.append(tables.days_sql())
        return statements


def operand_time(fact: Fact) -> str:
    """The dating column: a row without it is in no period, so it is not missing in one."""
    return fact.time


def _ratio(numerator: str, denominator: str) -> str:
    return f"({numerator})::double / nullif(({denominator})::double, 0)"
