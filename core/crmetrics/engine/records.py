"""The records behind a number (Q4): what each side counts, and what was left out and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crmetrics.compiler import expressions
from crmetrics.compiler.conditions import conjunction, disjunction
from crmetrics.compiler.excluded import REASONS
from crmetrics.compiler.expressions import Aggregate
from crmetrics.compiler.fact import Fact
from crmetrics.compiler.operand import Operand
from crmetrics.compiler.plan import Part
from crmetrics.compiler.program import Program
from crmetrics.compiler.relations import virtual_base
from crmetrics.compiler.rowset import RowSet
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.asking import Asked
from crmetrics.engine.given import prepared
from crmetrics.engine.projecting import is_projected
from crmetrics.errors import UsageError
from crmetrics.warehouse.placeholders import identifier

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project

_RECORD_KEYS = (
    "id", "case_id", "lead_id", "opportunity_id", "contact_id", "account_id", "user_id", "owner_id",
    "campaign_id", "goal",
)  # fmt: skip
"""What names a row of a model, the most telling first: a stay of a case is a record of the case."""

_NO_KEYS = "map([]::varchar[], []::varchar[])"
_NO_COUNTS = "[]::varchar[]"


def rows_behind(
    project: Project,
    name: str,
    *,
    period: str | None,
    by: Any,
    where: str | None,
    as_of: datetime | str | None,
) -> pa.Table:
    """One row per record, period and input that counts, or was left out for a reason.

    input: empty for the KPI's own rows, else which operand of its formula. relation, source;
    record, record_of: its id and the column that holds it (`id`, `account_id`, ...; null where the
    row stands for none). period_start, period_end, segment. in_numerator: it counts in the
    numerator, or in the value of a KPI that has none. in_denominator: null without denominator.
    coverage: the coverage counts that it adds to (`missing_amount`, `excluded_deleted`, ...).
    columns: what the measure reads, as text.
    Raises UsageError for a KPI without rows of its own, with the reason.
    """
    project.catalog.resolve(name)
    asked = Asked((name,), period, by=by, where=where, as_of=as_of)
    project.ensure_loaded()
    question = project.question(asked)
    with project.answerer(question.periods, as_of) as answerer:
        return records(answerer, question)


def records(answerer: Answerer, question: Question) -> pa.Table:
    """The records behind the answer to a question about one KPI (see `rows_behind`)."""
    import pyarrow as pa

    (name,) = question.kpis
    if is_projected(answerer.catalog, name):
        raise UsageError(
            f"{name} has no rows of its own: it continues the complete periods before. "
            f"Ask `crmetrics rows {name.partition('.')[0]}` for the records of one of them."
        )
    answerer.relations.is_whole = True
    program = answerer.program(prepared(question, answerer))
    if program.missing:
        gap = program.missing[0]
        raise UsageError(f"{name} has no rows: {gap.status} ({gap.what}).")
    tables: list[pa.Table] = []
    for label, operand, rowset in leaves(answerer, program):
        tables += _tables(answerer, label, operand, rowset)
    return pa.concat_tables(tables, promote_options="permissive")


def leaves(answerer: Answerer, program: Program) -> Iterator[tuple[str, Operand, RowSet]]:
    """Every operand of a program: its path among the inputs, itself, and the rows it reads.

    While one is given, models read the periods of its row set.
    """
    parts = [pair for item in program.labelled for pair in _leaves(item.part, "")]
    rowsets = {f" {rowset.name} as": rowset for rowset in program.rowsets}
    for statement in program.statements:
        if statement.kind == "setup" and not statement.sql.startswith("insert into rowset_"):
            answerer.standing.run(statement)
        if statement.kind != "rowset":
            continue
        rowset = next(rowset for name, rowset in rowsets.items() if name in statement.sql)
        for label, part in parts:
            if part.operand in rowset.operands:
                yield label, part.operand, rowset


def _leaves(part: Part, label: str) -> list[tuple[str, Part]]:
    if part.operand is not None:
        return [(label, part)]
    found: list[tuple[str, Part]] = []
    for name, child in part.inputs.items():
        found += _leaves(child, f"{label}/{name}".lstrip("/"))
    return found


def _tables(answerer: Answerer, label: str, operand: Operand, rowset: RowSet) -> list[pa.Table]:
    """The rows of an operand, and those that quality rules took out before."""
    texts = [RecordSql(label, operand, rowset).text()]
    excluded = rowset.excluded_fact()
    if excluded is not None:
        texts.append(RecordSql(label, operand, rowset, excluded).text())
    tables = []
    for text in texts:
        answerer.session.prepare(text)
        tables.append(answerer.session.arrow(text))
    return tables


class RecordSql:
    """The statement that lists the records of an operand.

    excluded: the fact over the rows that quality rules took out, to list these instead.
    """

    def __init__(
        self, label: str, operand: Operand, rowset: RowSet, excluded: Fact | None = None
    ) -> None:
        assert rowset.fact is not None
        self.label = label
        self.operand = operand
        self.rowset = rowset
        self.fact = rowset.fact
        self.excluded = excluded

    def text(self) -> str:
        relation = self.fact.relation
        names = self.fact.column_names()
        segment = [f"'{name[3:]}': {identifier(name)}" for name in names if name.startswith("by ")]
        shown = [f"'{n}': {identifier(n)}::varchar" for n in names if not n.startswith("by ")]
        in_numerator, in_denominator = self._sides()
        counts = self._counts()
        condition = self.rowset.condition_of(self.operand)
        window = self.rowset.tables.windows
        frame = self.rowset.frame
        numbers = sorted({frame.number(each) for each in self.operand.windows.values()})
        return (
            f"with fact as (\n{self._fact()}\n),\nlisted as (\n"
            f"select '{self.label}' as input, '{relation.name}' as relation,"
            " __source::varchar as source, __record::varchar as record, __key as record_of,"
            " w.opens as period_start, w.closes as period_end,"
            f" {_map(segment)} as segment,"
            f" {in_numerator} as in_numerator, {in_denominator} as in_denominator,"
            f" {counts} as coverage, {_map(shown)} as columns\n"
            # Under other names: a measure may read period_start and the like from the fact itself.
            "from fact join (select window_id as number, period_start as opens,"
            f" period_end as closes from {window} where window_id in"
            f" ({', '.join(map(str, numbers)) or 'null'})) w on w.number = fact.window_id\n"
            + (f"where {condition}\n" if condition else "")
            + ")\nselect * from listed\n"
            "where in_numerator or in_denominator or len(coverage) > 0\n"
            "order by period_start, record"
        )

    def _fact(self) -> str:
        columns = self.fact.relation.columns
        keys = [name for name in _RECORD_KEYS if name in columns]
        records = ", ".join(f"f.{name}" for name in keys) or "null"
        cases = " ".join(f"when f.{name} is not null then '{name}'" for name in keys)
        extra = [
            (f"coalesce({records}, null)", "__record"),
            (f"case {cases} end" if keys else "null::varchar", "__key"),
            ("f.source" if "source" in columns else "null", "__source"),
        ]
        where = self.rowset.fact_where
        if self.excluded is not None:
            return self.excluded.sql(where, [*extra, ("f._reason", "__reason")])
        return self.rowset.rows_sql(extra)

    def _sides(self) -> tuple[str, str]:
        if self.excluded is not None:
            return "false", "false"
        measure = self.operand.measure
        numerator = _any_counts(self._aggregates("numerator") or self._aggregates("value"))
        denominator = _any_counts(self._aggregates("denominator")) if measure.denominator else ""
        return numerator or "true", denominator or "null::boolean"

    def _aggregates(self, key: str) -> Sequence[Aggregate]:
        sql = getattr(self.operand.measure, key)
        return self._split(sql, key) if sql else ()

    def _split(self, sql: str, key: str) -> Sequence[Aggregate]:
        return expressions.split(sql, "", self.operand.measure.place(key)).aggregates

    def _counts(self) -> str:
        if self.excluded is not None:
            wanted = self._wanted()
            cases = " ".join(f"when '{reason}' then ['{key}']" for reason, key in REASONS.items())
            return f"case when {wanted} then case __reason {cases} end else {_NO_COUNTS} end"
        found = {**self._missing(), **self._own_counts()}
        if not found:
            return _NO_COUNTS
        items = ", ".join(f"case when {sql} then '{name}' end" for name, sql in found.items())
        return f"list_filter([{items}], lambda name: name is not null)"

    def _wanted(self) -> str:
        """Which excluded rows would have counted: those under the filter of an aggregate."""
        keys = ("numerator", "denominator", "value")
        counted = [aggregate for key in keys for aggregate in self._aggregates(key)]
        if not all(aggregate.condition for aggregate in counted):
            return "true"
        return disjunction(aggregate.condition for aggregate in counted) or "true"

    def _missing(self) -> dict[str, str]:
        """Coverage count -> SQL that is true for rows left out for a null measure or rate."""
        found: dict[str, list[str]] = {}
        columns = self.fact.relation.columns
        for key in ("numerator", "denominator", "value"):
            for aggregate in self._aggregates(key):
                if aggregate.used is None or aggregate.used == aggregate.total:
                    continue
                condition = aggregate.condition or "true"
                for column in aggregate.inputs:
                    base = virtual_base(column) if column not in columns else None
                    plain = base or column
                    if plain not in columns or plain == self.fact.time:
                        continue
                    if base is None and self.fact.relation.dataset is None:
                        continue
                    is_null = f"({condition}) and {identifier(plain)} is null"
                    found.setdefault(f"missing_{plain}", []).append(is_null)
                    if base and column.endswith(("_rc", "_cc")):
                        unrated = (
                            f"{identifier(plain)} is not null and {identifier(column)} is null"
                        )
                        found.setdefault("missing_rate", []).append(f"({condition}) and {unrated}")
        return {name: disjunction(sqls) for name, sqls in found.items()}

    def _own_counts(self) -> dict[str, str]:
        """The same for the counts that the definition makes itself."""
        found = {}
        for name, sql in self.operand.measure.coverage.items():
            terms = []
            for aggregate in self._split(sql, f"coverage.{name}"):
                term = aggregate.condition or "true"
                if aggregate.sql.lower().startswith("sum("):
                    above = " or ".join(f"{identifier(column)} > 0" for column in aggregate.inputs)
                    term = conjunction([term, above])
                terms.append(term)
            found[name] = disjunction(terms) or "true"
        return found


def _any_counts(aggregates: Sequence[Aggregate]) -> str:
    """SQL that is true for the rows that any of these aggregates counts."""
    terms = []
    for aggregate in aggregates:
        present = f"({aggregate.argument}) is not null" if aggregate.argument else ""
        terms.append(conjunction([aggregate.condition or "true", present]))
    return f"coalesce({disjunction(terms)}, false)" if terms else ""


def _map(entries: Sequence[str]) -> str:
    return "map {" + ", ".join(entries) + "}" if entries else _NO_KEYS
