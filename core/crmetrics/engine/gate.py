"""The quality gate: what a job does not report, however much it is wanted."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from crmetrics.deliver import coverage_share
from crmetrics.engine.identities import FLAG
from crmetrics.engine.loading import SyncReport

if TYPE_CHECKING:
    import pyarrow as pa

_MISSING = frozenset({"missing_dataset", "missing_column"})
_SHOWN = 5


def is_incomplete(results: pa.Table) -> bool:
    """True when a KPI has no number, or an old one, for want of data."""
    return bool((_MISSING | {"stale"}) & set(results.column("status").to_pylist()))


def is_maturing(results: pa.Table) -> bool:
    """True when a value may still change, because its window is not over (rule P7)."""
    return bool(_kpis(results, {"maturing"}))


def why_blocked(
    block_on: Collection[str], results: pa.Table, loaded: SyncReport, *, min_coverage: float
) -> str:
    """Why these results are kept back, in one sentence per reason; empty = they may go out."""
    reasons = []
    if "partial" in block_on:
        failed = sorted({report.place for report in loaded.failures})
        if failed:
            reasons.append(f"not read: {_listed(failed)}")
        missing = _kpis(results, _MISSING)
        if missing:
            reasons.append(f"data are missing for {_listed(missing)}")
    if "stale" in block_on:
        stale = _kpis(results, {"stale"})
        if stale:
            reasons.append(f"old data behind {_listed(stale)}")
    if "low_coverage" in block_on:
        low = _low_coverage(results, min_coverage)
        if low:
            reasons.append(f"too few rows could be used for {_listed(low)}")
    if "broken_identity" in block_on:
        broken = _kpis_flagged(results, FLAG)
        if broken:
            reasons.append(f"figures contradict each other: {_listed(broken)}")
    return f"kept back by the quality gate: {'; '.join(reasons)}" if reasons else ""


def _kpis(results: pa.Table, states: Collection[str]) -> list[str]:
    """KPIs of which a row has one of these states, first or among its flags."""
    rows = results.select(["kpi", "status", "flags"]).to_pylist()
    return list(
        dict.fromkeys(
            row["kpi"] for row in rows if set(states) & {row["status"], *(row["flags"] or ())}
        )
    )


def _kpis_flagged(results: pa.Table, prefix: str) -> list[str]:
    rows = results.select(["kpi", "flags"]).to_pylist()
    found = (r["kpi"] for r in rows if any(f.startswith(prefix) for f in r["flags"] or ()))
    return list(dict.fromkeys(found))


def _low_coverage(results: pa.Table, min_coverage: float) -> list[str]:
    """KPIs whose total used too small a share of its rows (rule Q1); of one that was computed for
    groups alone, any group."""
    rows = results.select(["kpi", "variant", "segment", "coverage"]).to_pylist()
    with_total = {(row["kpi"], row["variant"]) for row in rows if not row["segment"]}
    found = []
    for row in rows:
        share = coverage_share(dict(row["coverage"] or ()))
        counts = not row["segment"] or (row["kpi"], row["variant"]) not in with_total
        if counts and share is not None and share < min_coverage:
            found.append(row["kpi"])
    return list(dict.fromkeys(found))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
