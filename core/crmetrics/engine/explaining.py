"""Why a number is what it is: its definition, its SQL, its row counts and its records (Q4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from crmetrics.compiler import expressions
from crmetrics.compiler.fact import quoted
from crmetrics.compiler.plan import Part
from crmetrics.compiler.program import Program
from crmetrics.compiler.rowset import Operand, RowSet
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.asking import Asked
from crmetrics.engine.given import prepared
from crmetrics.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project

_RECORD_KEYS = ("id", "opportunity_id", "account_id", "case_id", "lead_id", "owner_id", "user_id")


@dataclass(frozen=True, slots=True)
class Step:
    """Rows left after one step on the way to a number. what: `opportunities: live`."""

    what: str
    rows: int


@dataclass(frozen=True)
class Explanation:
    """Everything behind a KPI.

    definition: what the entry says, as label -> text. needs: dataset -> columns. settings: the
    entry's settings with their effective values. statements: SQL that runs as it stands against
    the warehouse file, in order. steps: rows at each step for the periods asked for. results: the
    rows themselves. missing: why there is no number, if there is none.
    """

    kpi: str
    variant: str
    title: str
    question: str
    definition: Mapping[str, str]
    needs: Mapping[str, Sequence[str]]
    settings: Mapping[str, Any]
    definition_hash: str
    statements: Sequence[str] = ()
    steps: Sequence[Step] = ()
    results: pa.Table | None = None
    missing: str = ""
    guardrails: Sequence[str] = ()
    dimensions: Sequence[str] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def sql(self) -> str:
        """All statements as one script."""
        return "\n\n".join(f"{statement.strip()};" for statement in self.statements)


def explain(
    project: Project,
    name: str,
    *,
    period: str | None,
    by: Any,
    as_of: datetime | str | None,
    grain: str | None,
) -> Explanation:
    kpi, variant = project.catalog.resolve(name)
    asked = Asked((name,), period, grain=grain, by=by, as_of=as_of)
    project.ensure_loaded()
    question = project.question(asked)
    with project.answerer(question.periods, as_of) as answerer:
        program = answerer.program(prepared(question, answerer))
        measure = kpi.variant(variant).measure
        settings = answerer.settings.of(kpi.id, measure.settings)
        results = answerer.run(program)
        return Explanation(
            kpi=kpi.id,
            variant=variant,
            title=kpi.title,
            question=kpi.question,
            definition=_definition(answerer, name),
            needs={key: sorted(columns) for key, columns in program.needs.get(name, {}).items()},
            settings={key: settings[key] for key in measure.settings if key in settings},
            definition_hash=program.labelled[0].definition_hash if program.labelled else "",
            statements=_script(answerer, program),
            steps=_steps(answerer, program),
            results=results,
            missing=", ".join(f"{m.status}: {m.what}" for m in program.missing),
            guardrails=kpi.guardrails,
            dimensions=kpi.dimensions,
            notes={
                key: text
                for key, text in (
                    ("Treatment", kpi.treatment),
                    ("Common mistakes", kpi.mistakes),
                    ("Source", kpi.source),
                )
                if text
            },
        )


def _definition(answerer: Answerer, name: str) -> Mapping[str, str]:
    kpi, variant = answerer.catalog.resolve(name)
    measure = kpi.variant(variant).measure
    about = kpi.variant(variant).about
    where = expressions.active(measure.where, answerer.settings.of(kpi.id, measure.settings))
    entries = {
        "Meaning": about,
        "Value": measure.value,
        "Numerator": measure.numerator,
        "Denominator": measure.denominator,
        "Rows of": measure.relation,
        "Dated by": measure.time,
        "Valid": " to ".join(measure.span) if measure.span else "",
        "Only where": " and ".join(term.sql for term in where),
        "Inputs": ", ".join(
            f"{item.name} = {item.kpi or 'own measure'}" for item in measure.inputs
        ),
        "Final after": f"{measure.matures_after} days" if measure.matures_after else "",
        "Unit": kpi.variant(variant).unit or kpi.unit,
        "Better": kpi.better,
        "Pack": kpi.pack,
    }
    return {label: text for label, text in entries.items() if text}


def _script(answerer: Answerer, program: Program) -> list[str]:
    """The views first, then the program, as one script."""
    views = [*answerer.relations.made]
    named = {
        word
        for statement in (*program.statements,)
        for word in answerer.session.prepare(statement.sql)
    }
    for text in answerer.relations.made.values():
        named |= set(answerer.session.prepare(text))
    prelude = answerer.session.prelude(sorted(named))
    used = " ".join(statement.sql for statement in program.statements)
    needed = _models_of(answerer, used, views)
    models = [
        sql for view, sql in zip(views, answerer.relations.prelude, strict=True) if view in needed
    ]
    empty = [f"{sql}" for sql in _empty_periods()] if models else []
    return [*prelude, *empty, *models, *(statement.sql for statement in program.statements)]


def _empty_periods() -> Sequence[str]:
    from crmetrics.compiler.frames import EMPTY_PERIODS

    return EMPTY_PERIODS


def _models_of(answerer: Answerer, text: str, views: Sequence[str]) -> set[str]:
    """The model views that a text names, with those they read themselves."""
    from crmetrics.warehouse.placeholders import words

    needed: set[str] = set()
    waiting = [text]
    while waiting:
        for word in words(waiting.pop()):
            if word in answerer.relations.made and word not in needed:
                needed.add(word)
                waiting.append(answerer.relations.made[word])
    return needed


def _steps(answerer: Answerer, program: Program) -> list[Step]:
    found: list[Step] = []
    for rowset in program.rowsets:
        relation = rowset.operands[0].measure.relation
        label = rowset.operands[0].label
        if relation in answerer.datasets:
            entry = answerer.session.inventory[relation]
            live = answerer.session.scalar(f"select count(*) from live_{relation}")
            found += [
                Step(f"{relation}: loaded", entry.rows),
                Step(f"{relation}: live at as_of (deleted, test and merged rows out)", int(live)),
            ]
        rows = answerer.session.scalar(f"select count(*) from (\n{rowset.fact_sql}\n)")
        found.append(Step(f"{label}: rows of the fact in the periods", int(rows)))
    return found


# --- the records behind a number -----------------------------------------------------------------


def rows_behind(
    project: Project,
    name: str,
    *,
    period: str | None,
    by: Any,
    where: str | None,
    as_of: datetime | str | None,
) -> pa.Table:
    """One row per record, period and input: `input` (empty for the KPI's own rows), `relation`,
    `source`, `record` (its id), `period_start`, `segment`, `in_numerator`, `in_denominator`, and
    `columns` (what the measure reads, as text)."""
    project.catalog.resolve(name)
    asked = Asked((name,), period, by=by, where=where, as_of=as_of)
    project.ensure_loaded()
    question = project.question(asked)
    with project.answerer(question.periods, as_of) as answerer:
        program = answerer.program(question)
        if program.missing:
            gap = program.missing[0]
            raise UsageError(f"{name} has no rows: {gap.status} ({gap.what}).")
        return _records(answerer, program, question)


def _records(answerer: Answerer, program: Program, question: Question) -> pa.Table:
    import pyarrow as pa

    for statement in program.statements:
        if statement.kind == "setup":
            answerer.session.prepare(statement.sql)
            answerer.session.execute(statement.sql)
    tables = []
    for item in program.labelled:
        for label, part in _leaves(item.part, ""):
            assert part.operand is not None
            rowset = next(r for r in program.rowsets if part.operand in r.operands)
            answerer.session.prepare(rowset.fact_sql)
            tables.append(answerer.session.arrow(_record_sql(label, part.operand, rowset)))
    return pa.concat_tables(tables, promote_options="permissive")


def _leaves(part: Part, label: str) -> list[tuple[str, Part]]:
    if part.operand is not None:
        return [(label, part)]
    found: list[tuple[str, Part]] = []
    for name, child in part.inputs.items():
        found += _leaves(child, f"{label}/{name}".lstrip("/"))
    return found


def _record_sql(label: str, operand: Operand, rowset: RowSet) -> str:
    fact = rowset.fact
    assert fact is not None
    relation = fact.relation
    key = next((name for name in _RECORD_KEYS if name in relation.columns), None)
    extra = [(f"f.{key}" if key else "null", "__record")]
    extra.append(("f.source" if "source" in relation.columns else "null", "__source"))
    columns = fact.column_names()
    sides = {side: _side(operand, side) for side in ("numerator", "denominator", "value")}
    numerator = sides["numerator"] or sides["value"] or "true"
    denominator = sides["denominator"] or "true"
    dims = [name for name in columns if name.startswith("by ")]
    values = [name for name in columns if not name.startswith("by ")]
    segment = ", ".join(f"'{name[3:]}': {quoted(name)}" for name in dims)
    shown = ", ".join(f"'{name}': {quoted(name)}::varchar" for name in values)
    window = rowset.tables.windows
    condition = rowset.condition_of(operand)
    return (
        f"with fact as (\n{fact.sql(rowset.fact_where, extra)}\n)\n"
        f"select '{label}' as input, '{relation.name}' as relation,"
        " __source::varchar as source, __record::varchar as record,"
        " w.opens as period_start, w.closes as period_end,"
        f" {'map {' + segment + '}' if dims else 'map([]::varchar[], []::varchar[])'} as segment,"
        f" coalesce({numerator}, false) as in_numerator,"
        f" coalesce({denominator}, false) as in_denominator,"
        f" {'map {' + shown + '}' if values else 'map([]::varchar[], []::varchar[])'} as columns\n"
        # Under other names: a measure may read period_start and the like from the fact itself.
        "from fact join (select window_id as number, period_start as opens, period_end as closes"
        f" from {window}) w on w.number = fact.window_id\n"
        + (f"where {condition}\n" if condition else "")
        + "order by w.opens, record"
    )


def _side(operand: Operand, key: str) -> str:
    """SQL that is true for the rows that one side of the measure counts."""
    sql = getattr(operand.measure, key)
    if not sql:
        return ""
    split = expressions.split(sql, "", operand.measure.place(key))
    terms = []
    for aggregate in split.aggregates:
        condition = aggregate.condition or "true"
        present = [f"{quoted(name)} is not null" for name in aggregate.inputs]
        terms.append(expressions.conjunction([condition, *present]))
    return " or ".join(f"({term})" for term in dict.fromkeys(terms))
