"""A program: every statement that answers one question, in order, as text.

The statements are meant to be read: they run as they are against a warehouse file, first the
views, then the small tables of periods, then one statement per row set, then the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property

from msgspec import Struct, field

from crmetrics.catalog import Catalog, Kpi, Vector
from crmetrics.compiler.assemble import Assembler, numbers_sql
from crmetrics.compiler.excluded import Keeping, Mirror, excluded_counts
from crmetrics.compiler.final import Labelled, counts_columns, final_select, result_select
from crmetrics.compiler.frames import listed
from crmetrics.compiler.keeping import QuestionVectors
from crmetrics.compiler.labelling import Labelling
from crmetrics.compiler.needs import Needs, Supplied
from crmetrics.compiler.operand import Grouping, Operand
from crmetrics.compiler.plan import Part, Planner
from crmetrics.compiler.portions import Portion, portions
from crmetrics.compiler.rowset import Compiled, RowSet
from crmetrics.compiler.slices import SliceBook, Window
from crmetrics.compiler.surroundings import Surroundings
from crmetrics.compiler.union import PartRows, found
from crmetrics.warehouse.placeholders import literal, words

_SLICES = {
    "slice": "integer",
    "period_start": "date",
    "period_end": "date",
    "grain": "varchar",
    "is_reported": "boolean",
    "previous": "integer",
    "year_ago": "integer",
    "is_partial": "boolean",
}


class Requested(Struct, frozen=True):
    """One KPI or variant of a question, with the groups it is asked for."""

    kpi: Kpi
    variant: str
    groupings: tuple[Grouping, ...]

    @property
    def name(self) -> str:
        return f"{self.kpi.id}.{self.variant}" if self.variant else self.kpi.id


class Missing(Struct, frozen=True):
    """A KPI that cannot be computed: status and the dataset or column that is not there."""

    ordinal: int
    requested: Requested
    status: str
    what: str


class Statement(Struct):
    """One statement with its purpose, for `explain` and for the count of scans. reads: see
    `ExcludedCounts`."""

    kind: str
    sql: str
    reads: Mapping[str, Collection[str]] = field(default_factory=dict)


class Program(Struct):
    """What the compiler gives: the statements in order, the last of which answers.

    missing: KPIs without a number, with the reason. labelled: what is said of the others. needs:
    KPI or variant -> dataset -> columns that it reads.
    """

    statements: list[Statement] = field(default_factory=list)
    rowsets: list[RowSet] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    labelled: list[Labelled] = field(default_factory=list)
    needs: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    @property
    def answer(self) -> str:
        return self.statements[-1].sql

    def scans(self) -> list[str]:
        """The statements that read facts: one per row set."""
        return [statement.sql for statement in self.statements if statement.kind == "rowset"]


class Compiler(Struct, dict=True):
    """Compiles one question.

    has_any: whether any row of a relation, by its SQL name, meets a condition. is_made: whether a
    relation of the session is there already. keeps_named: whether what was left out of a dataset is
    worth a table of the columns that two readers name. fillings: statements that compute the
    materialized models a text reads, as far as it reads them; period_fillings: those that differ
    from one set of periods to the next. mirror: (relation, its vectors, the table of its periods,
    relations that are read over these) -> the rows that quality rules left out of it.
    """

    catalog: Catalog
    book: SliceBook
    around: Surroundings
    supplied: Supplied
    planner: Planner
    labelling: Labelling
    band: Callable[[str], list[float]]
    model_words: Callable[[str], Sequence[str]]
    vectors_of: Callable[[str], Sequence[Vector]]
    fillings: Callable[[str, Mapping[str, Portion]], Sequence[str]]
    period_fillings: Callable[[str], Sequence[str]]
    has_any: Callable[[str, str], bool]
    is_made: Callable[[str], bool]
    keeps_named: Callable[[str], bool]
    mirror: Callable[[str, Mapping[str, str], str, Sequence[str]], Mirror]
    min_base: float | None = None
    _rowsets: list[RowSet] = field(default_factory=list)
    _excluded: dict[int, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    _windows: dict[int, int] = field(default_factory=dict)
    _read_over: dict[str, list[str]] = field(default_factory=dict)

    def compile(self, requests: Sequence[Requested]) -> Program:
        program = Program()
        parts: list[tuple[int, Requested, Part]] = []
        for ordinal, requested in enumerate(requests):
            for part in self.planner.parts(requested.kpi, requested.variant, requested.groupings):
                needs = Needs(self.around.schema, self.supplied, self.model_words).of(part)
                program.needs.setdefault(requested.name, {}).update(needs.datasets)
                gap = needs.missing()
                if gap is not None:
                    program.missing.append(Missing(ordinal, requested, *gap))
                    break
                parts.append((ordinal, requested, part))
        for _, _, part in parts:
            for operand in part.leaves():
                self._place(operand)
        compiled = self._compile_rowsets(program)
        self._assemble(program, parts, compiled)
        return program

    # --- row sets --------------------------------------------------------------------------------

    def _place(self, operand: Operand) -> None:
        """Put an operand into the row set that reads its rows, or into a new one."""
        for rowset in self._rowsets:
            if rowset.operands[0].key == operand.key:
                rowset.add(operand)
                return
        rowset = RowSet(len(self._rowsets) + 1, self.around, self.book.clock, self.band)
        rowset.add(operand)
        self._rowsets.append(rowset)

    def _compile_rowsets(self, program: Program) -> dict[int, Compiled]:
        compiled: dict[int, Compiled] = {}
        statements: list[Statement] = []
        made: dict[str, str] = {}
        # A table for one reader would cost more than the join: of a month, say, it needs few rows.
        readers = Counter(name for rowset in self._rowsets for name in rowset.joined_parents())
        self.around.kept.update(name for name, count in readers.items() if count > 1)
        layered = [rowset.layers() for rowset in self._rowsets]
        _share_frames([layer for layers in layered for layer in layers])
        self._vectors.plan([layer for layers in layered for layer in layers])
        for rowset in (layer for layers in layered for layer in layers):
            self._read_over.setdefault(rowset.tables.windows, []).append(rowset.relation)
        for first, *others in layered:
            for rowset in (first, *others):
                statements += self._statements(rowset, made)
            statements += [Statement("setup", first.insertion(other)) for other in others]
            statements += self._excluded_of_layers(first, others)
            compiled |= {item.operand.number: item for item in first.compiled}
            program.rowsets += [first, *others]
        statements = [
            Statement(statement.kind, sql, statement.reads)
            for statement in statements
            for sql in self._vectors.kept(statement.sql)
        ]
        beside = [statement for statement in statements if statement.kind != "rowset"]
        keeping = Keeping(self.around.schema.datasets, self.is_made, self.keeps_named)
        reads = [statement.reads for statement in beside]
        left_out, kept = keeping.kept([statement.sql for statement in beside], reads)
        for statement, sql in zip(beside, kept, strict=True):
            statement.sql = sql
        texts = [statement.sql for statement in statements]
        read = " ".join(texts)
        before = [
            self._slices_sql(),
            *self._looked_at_sql(program.rowsets),
            *self.fillings(read, portions(program.rowsets, texts, self.book.clock.calendar)),
            *self._parents_sql(read),
            *left_out,
        ]
        program.statements = [*(Statement("setup", text) for text in before), *statements]
        return compiled

    def _statements(self, rowset: RowSet, made: dict[str, str]) -> list[Statement]:
        """The statements of a row set. made: name -> text of what was set up and is as it was."""
        rowset.has_runs = self._vectors.has_runs(rowset)
        sql = rowset.compile()
        setup = rowset.setup()
        if rowset.operands[0].measure.shape == "period":
            setup += [*rowset.tables.period_views(), *self._vectors.statements(rowset)]
            setup += self._filled(rowset)
        mirror = self._mirror(rowset)
        setup += mirror.setup
        rowset.mirror = mirror.rows
        found = []
        for text in setup:
            name = text.partition("\n")[0]
            if made.get(name) != text:
                made[name] = text
                found.append(Statement("setup", text))
        found.append(Statement("rowset", sql))
        counts = excluded_counts(rowset)
        self._vectors.note(rowset, counts.sql if counts else "")
        if counts is not None:
            found.append(Statement("excluded", counts.sql, counts.reads))
            for operand, columns in counts.columns.items():
                self._excluded.setdefault(operand, (counts.name, columns))
        return found

    def _excluded_of_layers(self, first: RowSet, others: Sequence[RowSet]) -> list[Statement]:
        """What was left out of the further layers, put to that of the first."""
        if first.excluded_fact() is None:
            return []
        into = f"insert into {first.excluded_name}"
        return [
            Statement("excluded", f"{into}\nselect * from {other.excluded_name}")
            for other in others
        ]

    def _mirror(self, rowset: RowSet) -> Mirror:
        """What quality rules left out of the rows of a model."""
        if rowset.relation in self.around.schema.datasets:
            return Mirror()
        windows = rowset.tables.windows
        among = self._read_over[windows]
        return self.mirror(rowset.relation, self._vectors.own(rowset), windows, among)

    @cached_property
    def _vectors(self) -> QuestionVectors:
        settings = {
            **self.planner.settings_of("", {}),
            "customer_model": self.supplied.customer_model,
        }
        return QuestionVectors(
            self.around, self.catalog.vectors, self.vectors_of, self.has_any, settings
        )

    def _filled(self, rowset: RowSet) -> list[str]:
        """The materialized models that it reads, filled for its periods."""
        texts = self.period_fillings(rowset.relation)
        return [text.replace("\n", f"\n-- of {rowset.tables.windows}\n", 1) for text in texts]

    def _parents_sql(self, read: str) -> list[str]:
        """Parents with what lies behind them: kept in a table when several statements join them."""
        found = []
        for parent in self.around.parents.values():
            name, text = parent.widened_name, parent.sql(())
            types = dict.fromkeys(coded.type_sql() for coded in parent.coded.values())
            found += [sql for sql in types if sql not in found]
            if read.count(f" {name} ") > 1:
                text = parent.kept_sql()
                found.append(f"create or replace temp table {name}_kept as\n{text}")
                text = f"select * from {name}_kept"
            found.append(f"create or replace temp view {name} as\n{text}")
        return found

    def _looked_at_sql(self, rowsets: Sequence[RowSet]) -> list[str]:
        """From when on anything is looked at by those whose models may ask for it: these may leave
        out what ended before, so that one month costs less than all the years. A macro as well:
        DuckDB compares with its constant while it reads, and with a subquery row by row later."""
        asking = [rowset for rowset in rowsets if self._may_look_back(rowset)] or rowsets
        starts = [self._first_day(rowset) for rowset in asking if rowset.frame.windows]
        if not starts:
            return []
        # States of a period that has not begun are read at as_of.
        start = min(self.book.clock.calendar.instant(min(starts)), self.book.clock.as_of)
        return [
            f"create or replace temp view looked_at as\nselect {literal(start)} as start_at",
            f"create or replace temp macro first_looked_at() as\n{literal(start)}",
        ]

    def _first_day(self, rowset: RowSet) -> date:
        """The first day that it looks at: vectors open on the day before their period."""
        opens_before = not self._behind(rowset).isdisjoint(self.catalog.vectors)
        first = min(window.start for window in rowset.frame.windows)
        return first - timedelta(days=1) if opens_before else first

    def _may_look_back(self, rowset: RowSet) -> bool:
        """Whether a model behind its rows may read `looked_at`: one that has the word anywhere in
        its text, or any behind a vector."""
        behind = self._behind(rowset)
        models = self.catalog.models
        texts = (models[name].text.lower() for name in behind if name in models)
        return not behind.isdisjoint(self.catalog.vectors) or any("looked_at" in t for t in texts)

    def _behind(self, rowset: RowSet) -> set[str]:
        """The relations that it reads, and all that models among them name."""
        near = {name.partition("__")[0] for name in (rowset.relation, *words(rowset.fact_sql))}
        return near.union(*(self.model_words(name) for name in near))

    def _slices_sql(self) -> str:
        clock = self.book.clock
        rows = [
            (s.index, s.start, s.end, s.grain, s.is_reported, s.previous, s.year_ago,
             not clock.is_over(s.end))
            for s in self.book.slices
        ]  # fmt: skip
        return f"create or replace temp table slices as\n{listed(_SLICES, rows)}"

    # --- the answer ------------------------------------------------------------------------------

    def _assemble(
        self,
        program: Program,
        parts: Sequence[tuple[int, Requested, Part]],
        compiled: Mapping[int, Compiled],
    ) -> None:
        assembler = Assembler(compiled, self._excluded, self._windows)
        operands = [operand for _, _, part in parts for operand in part.leaves()]
        if operands:
            program.statements.append(Statement("setup", self._slice_windows_sql(operands)))
        rows = []
        for ordinal, requested, part in parts:
            item = self.labelling.label(
                ordinal,
                requested.kpi,
                requested.variant,
                part,
                is_additive=assembler.is_additive(part),
                needs=program.needs.get(requested.name, {}),
            )
            program.labelled.append(item)
            select = final_select(item, assembler.counted(part))
            groups = frozenset(frozenset(grouping) for grouping in part.groupings)
            rows.append(PartRows(ordinal, select, assembler.ctes(part), groups))
        rows += [PartRows(item.ordinal, self._missing_select(item)) for item in program.missing]
        program.statements += [Statement("assemble", sql) for sql in found(rows)]
        compared = {
            which
            for item in self.book.slices
            for which in ("previous", "year_ago")
            if getattr(item, which) is not None
        }
        has_rates = any(item.is_rate for item in program.labelled)
        answer = result_select(self.min_base, compared, has_rates=has_rates)
        program.statements.append(Statement("answer", answer))

    def _slice_windows_sql(self, operands: Sequence[Operand]) -> str:
        """Which window an operand reads for a slice: once for all operands that read the same."""
        frames = {o.number: rowset.frame for rowset in self._rowsets for o in rowset.operands}
        numbers: dict[tuple[tuple[int, int], ...], int] = {}
        for operand in operands:
            frame = frames[operand.number]
            pairs = tuple((i, frame.number(window)) for i, window in operand.windows.items())
            self._windows[operand.number] = numbers.setdefault(pairs, operand.number)
        rows = [(number, *pair) for pairs, number in numbers.items() for pair in pairs]
        types = dict.fromkeys(("operand", "slice", "window_id"), "integer")
        return f"create or replace temp table slice_windows as\n{listed(types, rows)}"

    def _missing_select(self, item: Missing) -> str:
        kpi, variant = item.requested.kpi, item.requested.variant
        unit = kpi.variant(variant).unit or kpi.unit
        empty = "map([]::varchar[], []::varchar[])"
        is_dataset = item.status == "missing_dataset"
        return (
            f"select {item.ordinal} as ordinal, '{kpi.id}' as kpi, '{variant}' as variant,"
            f" '{unit}' as unit, slice, {empty} as segment, null::double as value,"
            " null::double as numerator, null::double as denominator, 0::bigint as n,"
            f" {', '.join(counts_columns((), numbers_sql(())))}, null::double as standard_error,"
            f" {str(is_dataset).lower()} as is_uncovered, false as is_maturing,"
            " false as is_newer, false as is_stale, false as looks_ahead,"
            f" {'null::varchar' if is_dataset else repr('missing_column')} as special,"
            f" ['{item.status}:{item.what}']::varchar[] as own_flags, 0 as min_sample,"
            " false as is_rate, '' as definition_hash, true as is_stand_in from slices"
        )


def _share_frames(rowsets: Sequence[RowSet]) -> None:
    """Row sets that look at the same windows share the tables of these windows."""
    names: dict[tuple[tuple[int, Window], ...], str] = {}
    for rowset in rowsets:
        windows = tuple(rowset.frame.ordered())
        rowset.frame_name = names.setdefault(windows, rowset.suffix)
