"""`correlate`: whether one KPI goes with another, period by period (rule A3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmetrics.engine.answer import Question
from crmetrics.engine.asking import DEFAULT_GRAIN, grain_named
from crmetrics.errors import UsageError
from crmetrics.goals import FEWEST_PAIRS, associations, kpi_name

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.project import Project

_NOT_OVER = frozenset({"partial", "maturing"})


def correlate(
    project: Project,
    first: str,
    second: str,
    *,
    grain: str = "month",
    periods: int = 24,
    where: str = "",
) -> pa.Table:
    """One row per lag: lag (int64, periods that `second` is read after `first`), pairs (int64,
    known in both), rho (float64, Spearman; null with fewer than twelve pairs or without change),
    chance (float64, |rho| up to which chance alone goes in 19 of 20 cases).

    The last complete `periods` are looked at; values that may still change are not.
    Raises UsageError for unknown KPIs, a KPI with itself, or too few periods.
    """
    import pyarrow as pa

    names = [
        kpi_name(kpi.id, variant) for kpi, variant in map(project.catalog.resolve, (first, second))
    ]
    if names[0] == names[1]:
        raise UsageError(f"{names[0]} goes with itself; name two different KPIs.")
    if periods < FEWEST_PAIRS:
        raise UsageError(f"{periods} periods are too few: expected {FEWEST_PAIRS} or more.")
    looked_at = [project.calendar.last_complete(project.now(), grain_named(grain) or DEFAULT_GRAIN)]
    while len(looked_at) < periods:
        looked_at.insert(0, project.calendar.previous(looked_at[0]))
    project.ensure_loaded()
    with project.answerer(looked_at) as answerer:
        rows = answerer.answer(Question(tuple(names), tuple(looked_at), where=where)).to_pylist()
    known = {
        (kpi_name(row["kpi"], row["variant"]), row["period_start"]): row["value"]
        for row in rows
        if not row["segment"] and not _NOT_OVER & {row["status"], *(row["flags"] or ())}
    }
    one, other = ([known.get((name, each.start)) for each in looked_at] for name in names)
    found = associations(one, other)
    return pa.table(
        {
            "lag": pa.array([each.lag for each in found], pa.int64()),
            "pairs": pa.array([each.pairs for each in found], pa.int64()),
            "rho": pa.array([each.rho for each in found], pa.float64()),
            "chance": pa.array([each.chance for each in found], pa.float64()),
        }
    )
