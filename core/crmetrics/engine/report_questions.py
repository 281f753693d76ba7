"""What a job asks: its KPIs in its groups, and by the dimensions that a definition reports by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from crmetrics.compiler.coding import NONE
from crmetrics.compiler.operand import Grouping
from crmetrics.config import JobConfig
from crmetrics.engine.answer import Answerer, Question, groupings_of
from crmetrics.results import STATUSES_OF_WANT

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.catalog.registry import Catalog
    from crmetrics.periods import Period

_SERIES = ["kpi", "variant", "period_start"]
"""What tells one number from another, its groups aside."""


def questions_of(
    catalog: Catalog, job: JobConfig, periods: Sequence[Period]
) -> tuple[Question, ...]:
    """What the job says, then the KPIs that are reported by a dimension where the job names none
    (rule S5): attrition in total alone hides where it is."""
    where = job.where or ""
    asked = Question(job.kpis, tuple(periods), groupings_of(job.by, job.totals), where, job.compare)
    further: dict[Grouping, list[str]] = {}
    for name in () if job.is_by_given else job.kpis:
        if dimensions := catalog.kpis[name.partition(".")[0]].reported_by:
            further.setdefault(dimensions, []).append(name)
    return (
        asked,
        *(
            Question(tuple(kpis), tuple(periods), (dimensions,), where, job.compare)
            for dimensions, kpis in further.items()
        ),
    )


def with_lacking(
    answerer: Answerer, results: pa.Table, asked: Question, *, run_id: str = ""
) -> pa.Table:
    """The results, and the total of each KPI and period of which there is no group at all. Without
    it nothing would say so: neither the report nor the row that takes the place of former groups.
    """
    import pyarrow as pa

    found = {_series_of(row) for row in results.select(_SERIES).to_pylist()}
    named = {name: answerer.catalog.resolve(name) for name in asked.kpis}
    lacking = [
        (name, period)
        for name, (kpi, variant) in named.items()
        for period in asked.periods
        if (kpi.id, variant, period.start) not in found
    ]
    if () in asked.groupings or not lacking:
        return results
    kpis = tuple(dict.fromkeys(name for name, _ in lacking))
    periods = tuple(period for period in asked.periods if any(p == period for _, p in lacking))
    question = replace(asked, kpis=kpis, periods=periods, groupings=((),), identities=())
    totals = answerer.answer(question, run_id=run_id)
    is_new = [_series_of(row) not in found for row in totals.select(_SERIES).to_pylist()]
    return pa.concat_tables([results, totals.filter(pa.array(is_new, pa.bool_()))])


def with_further(
    answerer: Answerer, results: pa.Table, further: Sequence[Question], *, run_id: str = ""
) -> pa.Table:
    """The results and the groups of the further questions. Groups that the data cannot tell, or in
    which nothing is told apart, are left out: nobody asked for them."""
    import pyarrow as pa

    found = [results]
    for question in further:
        groups = answerer.answer(question, run_id=run_id)
        found.append(groups.filter(pa.array(_tells_apart(groups), pa.bool_())))
    return pa.concat_tables(found)


def _tells_apart(groups: pa.Table) -> list[bool]:
    """Whether each row is of a KPI and period that has groups with a name."""
    rows = groups.select(["kpi", "variant", "period_start", "segment", "status"]).to_pylist()
    named = {
        _series_of(row)
        for row in rows
        if row["status"] not in STATUSES_OF_WANT
        and any(value != NONE for _, value in row["segment"])
    }
    return [_series_of(row) in named for row in rows]


def _series_of(row: Mapping[str, Any]) -> tuple[str, str, date]:
    return row["kpi"], row["variant"] or "", row["period_start"]
