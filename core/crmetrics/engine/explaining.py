"""Why a number is what it is: its definition, its SQL, its row counts and its records (Q4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from crmetrics.compiler import expressions
from crmetrics.compiler.excluded import REASONS
from crmetrics.compiler.frames import EMPTY_PERIODS
from crmetrics.compiler.operand import Operand
from crmetrics.compiler.program import Program
from crmetrics.compiler.rowset import RowSet
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.asking import Asked
from crmetrics.engine.given import periods_of, prepared
from crmetrics.engine.projecting import is_projected
from crmetrics.engine.records import RecordSql, leaves
from crmetrics.warehouse.placeholders import words

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project


class Step(Struct, frozen=True):
    """Rows left after one step on the way to a number, or left out by it. what: `cases: live`,
    `cases: excluded_deleted`."""

    what: str
    rows: int
    is_left_out: bool = False


class Explanation(Struct, frozen=True):
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
    project.catalog.resolve(name)
    asked = Asked((name,), period, grain=grain, by=by, as_of=as_of)
    project.ensure_loaded()
    question = project.question(asked)
    with project.answerer(question.periods, as_of) as answerer:
        return explained(answerer, question)


def explained(answerer: Answerer, question: Question) -> Explanation:
    """The explanation of a question about one KPI."""
    (name,) = question.kpis
    kpi, variant = answerer.catalog.resolve(name)
    # A projection is answered over other periods than those whose steps are shown.
    is_of_others = is_projected(answerer.catalog, name) or periods_of(answerer.catalog, name)
    answer = answerer.answer(question) if is_of_others else None
    answerer.relations.is_whole = True
    program = answerer.program(prepared(question, answerer))
    found = answerer.run(program)
    results = found if answer is None else answer
    own = kpi.variant(variant).measure.settings
    settings = answerer.settings.of(kpi.id, own)
    notes = {"Treatment": kpi.treatment, "Common mistakes": kpi.mistakes, "Source": kpi.source}
    return Explanation(
        kpi=kpi.id,
        variant=variant,
        title=kpi.title,
        question=kpi.question,
        definition=_definition(answerer, name),
        needs={key: sorted(columns) for key, columns in program.needs.get(name, {}).items()},
        settings={key: settings[key] for key in own if key in settings},
        definition_hash=program.labelled[0].definition_hash if program.labelled else "",
        statements=_script(answerer, program),
        steps=_steps(answerer, program, results),
        results=results,
        missing=", ".join(f"{m.status}: {m.what}" for m in program.missing),
        guardrails=kpi.guardrails,
        dimensions=kpi.dimensions,
        notes={label: text for label, text in notes.items() if text},
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
        "Overrides": kpi.overrides and f"{kpi.overrides} of the packs",
        "Owners": ", ".join(kpi.owners),
        "Effective from": kpi.effective_from,
        "Defined at": f"{kpi.place.file}:{kpi.place.line}" if kpi.pack == "project" else "",
    }
    return {label: text for label, text in entries.items() if text}


def _script(answerer: Answerer, program: Program) -> list[str]:
    """The views first, then the program, as one script."""
    named = {
        word for statement in program.statements for word in answerer.session.prepare(statement.sql)
    }
    for text in answerer.relations.made.values():
        named |= set(answerer.session.prepare(text))
    prelude = answerer.session.prelude(sorted(named))
    used = " ".join(statement.sql for statement in program.statements)
    needed = _models_of(answerer, used)
    models = dict.fromkeys(
        sql
        for view, statements in answerer.relations.prelude.items()
        if view in needed
        for sql in statements
    )
    empty = EMPTY_PERIODS if models else ()
    return [*prelude, *empty, *models, *(statement.sql for statement in program.statements)]


def _models_of(answerer: Answerer, text: str) -> set[str]:
    """The model views that a text names, with those they read themselves."""
    needed: set[str] = set()
    waiting = [text]
    while waiting:
        for word in words(waiting.pop()):
            if word in answerer.relations.made and word not in needed:
                needed.add(word)
                waiting.append(answerer.relations.made[word])
    return needed


# --- rows at each step ---------------------------------------------------------------------------


def _steps(answerer: Answerer, program: Program, results: pa.Table) -> list[Step]:
    """From what was loaded to what counts, with everything that was left out in between."""
    found: dict[str, Step] = {}
    for label, operand, rowset in leaves(answerer, program):
        relation = operand.measure.relation
        for dataset in _datasets(answerer, relation):
            found |= {step.what: step for step in _live_steps(answerer, dataset)}
        if relation not in answerer.datasets and operand.measure.shape != "period":
            rows = answerer.session.scalar(f"select count(*) from {relation}")
            found[f"{relation}: rows"] = Step(f"{relation}: rows", int(rows))
        for step in _counting_steps(answerer, label, operand, rowset):
            # Periods that begin on one day are counted one after the other.
            before = found[step.what].rows if step.what in found else 0
            found[step.what] = Step(step.what, before + step.rows)
    left_out = [
        Step(f"coverage: {name}", count, is_left_out=True)
        for name, count in _left_out(results).items()
    ]
    return [*found.values(), *left_out]


def _datasets(answerer: Answerer, relation: str) -> list[str]:
    """The datasets behind a relation: itself, or what its model, vector or view is made of."""
    known: dict[str, None] = {}
    waiting, seen = [relation.partition("__")[0]], set()
    while waiting:
        name = waiting.pop(0)
        dataset = name.removeprefix("live_")
        if dataset in answerer.datasets:
            known[dataset] = None
        if name in seen or dataset in answerer.datasets:
            continue
        seen.add(name)
        if name in answerer.catalog.models:
            waiting += sorted(words(answerer.catalog.models[name].text))
        elif name in answerer.catalog.vectors:
            waiting.append(answerer.catalog.vectors[name].relation)
        elif name in answerer.session.relations:
            for text in answerer.session.prelude([name]):
                waiting += sorted(word for word in words(text) if word.startswith("live_"))
    return list(known)


def _live_steps(answerer: Answerer, dataset: str) -> list[Step]:
    """Rows loaded, what quality rules took out by reason, and what KPIs see."""
    session = answerer.session
    live, excluded = f"live_{dataset}", f"excluded_{dataset}"
    for name in (live, excluded):
        session.relation(name)
    loaded = session.inventory[dataset].rows
    seen = int(session.scalar(f"select count(*) from {live}"))
    reasons = dict(session.rows(f"select _reason, count(*) from {excluded} group by _reason"))
    out = {REASONS[reason]: int(reasons[reason]) for reason in REASONS if reason in reasons}
    later = loaded - seen - sum(out.values())
    if later > 0:
        out["after_as_of"] = later
    return [
        Step(f"{dataset}: loaded", loaded),
        *(Step(f"{dataset}: {reason}", count, is_left_out=True) for reason, count in out.items()),
        Step(f"{dataset}: live", seen),
    ]


def _counting_steps(answerer: Answerer, label: str, operand: Operand, rowset: RowSet) -> list[Step]:
    """Rows of the periods asked for, and how many of them each side of the measure counts."""
    session, measure = answerer.session, operand.measure
    name = label or operand.label
    rows = int(session.scalar(f"select count(*) from (\n{rowset.rows_sql(())}\n)"))
    text = RecordSql(label, operand, rowset).text()
    session.prepare(text)
    counted = session.rows(
        "select count(*) filter (where in_numerator), count(*) filter (where in_denominator)"
        f" from (\n{text}\n)"
    )[0]
    steps = [Step(f"{name}: in the periods", rows)]
    if measure.denominator:
        steps.append(Step(f"{name}: in the denominator", int(counted[1])))
        steps.append(Step(f"{name}: in the numerator", int(counted[0])))
    else:
        steps.append(Step(f"{name}: in the value", int(counted[0])))
    return steps


def _left_out(results: pa.Table) -> dict[str, int]:
    """The coverage counts of the value; of its groups, where there is no total."""
    rows = results.select(["segment", "coverage"]).to_pylist()
    totals = [row for row in rows if not row["segment"]]
    found: dict[str, float] = {}
    for row in totals or rows:
        for name, count in row["coverage"] or ():
            found[name] = found.get(name, 0) + count
    return {name: int(count) for name, count in found.items() if not _is_no_count(name)}


def _is_no_count(name: str) -> bool:
    """The rows that were used, and coverage entries that add up money (Q6)."""
    is_amount = name.endswith(("_revenue", "_spend")) and not name.startswith("missing_")
    return is_amount or name == "rows_used"
