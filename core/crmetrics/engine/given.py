"""Relations that the engine fills itself, and KPIs that report the periods of such a relation.

A measure that says `periods_of: NAME` has a row for each period that the relation names (columns
`period_start`, `period_end`), whatever periods the question names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from crmetrics.catalog import Catalog
from crmetrics.periods import Period

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.answer import Answerer, Question


class GivenRelation(Protocol):
    """empty: its columns. rows: its content for a session; may ask that session questions, for
    which it needs `kpis` and `datasets` (name -> columns). complete: the result rows of a KPI over
    it, with what only the engine knows of them."""

    def empty(self) -> pa.Table: ...
    def kpis(self, answerer: Answerer) -> Sequence[str]: ...
    def datasets(self) -> Mapping[str, Sequence[str]]: ...
    def rows(self, answerer: Answerer) -> pa.Table: ...
    def complete(self, results: pa.Table, rows: pa.Table) -> pa.Table: ...


def periods_of(catalog: Catalog, name: str) -> str:
    """The relation whose periods a KPI reports; empty for the periods that are asked for."""
    kpi, variant = catalog.resolve(name)
    return kpi.variant(variant).measure.periods_of


def with_given_periods(
    question: Question, answerer: Answerer, ask: Callable[[Question], pa.Table]
) -> pa.Table:
    """The answer to a question, the KPIs that have periods of their own for these.

    ask: answers a question for the periods that it names.
    """
    import pyarrow as pa

    relations = {name: periods_of(answerer.catalog, name) for name in question.kpis}
    if not any(relations.values()):
        return ask(question)
    tables = []
    for relation in dict.fromkeys(relations.values()):
        names = tuple(name for name in question.kpis if relations[name] == relation)
        asked = replace(question, kpis=names)
        if not relation:
            tables.append(ask(asked))
            continue
        asked = replace(asked, identities=())
        rows = answerer.given[relation].rows(answerer)
        answerer.relations.fill(relation, rows)
        results = ask(_for_periods_of(asked, rows))
        tables.append(answerer.given[relation].complete(results, rows))
    return pa.concat_tables(tables)


def prepared(question: Question, answerer: Answerer) -> Question:
    """The question about one KPI, with the periods that the KPI reports; its relation is filled."""
    relation = periods_of(answerer.catalog, question.kpis[0])
    if not relation:
        return question
    rows = answerer.given[relation].rows(answerer)
    answerer.relations.fill(relation, rows)
    return _for_periods_of(question, rows)


def _for_periods_of(question: Question, rows: pa.Table) -> Question:
    """The question for the periods that the rows name; without any for those it names itself."""
    bounds = rows.select(["period_start", "period_end"]).to_pylist()
    days = sorted({(row["period_start"], row["period_end"]) for row in bounds})
    if not days:
        return question
    grain = question.periods[0].grain
    periods = tuple(Period(start, end, grain) for start, end in days)
    return replace(question, periods=periods, compare=())
