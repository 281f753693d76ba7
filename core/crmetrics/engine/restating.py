"""Which sinks were told something else of an earlier period than it comes to now (rule P6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crmetrics import export, state
from crmetrics.deliver import (
    Terms,
    Threshold,
    has_changed,
    last_told,
    restates,
)
from crmetrics.errors import PLUGIN_ERRORS
from crmetrics.plugin import Delivery, Sink

if TYPE_CHECKING:
    import pyarrow as pa

Known = Mapping[tuple[str, str, str], tuple[float | None, bool]]
"""(KPI, variant, segment as JSON text) -> value, and whether it was not final, of one period."""


def sinks_to_tell(
    session: state.Reader, sinks: Mapping[str, Sink], letter: Delivery, terms: Terms
) -> dict[str, Sink]:
    """Those that were told of the period, or may have been, when a figure was another, by the
    threshold or more.

    A change is measured from what the sink was told, not from what was computed last: ten small
    ones are told when they come to a large one. What was marked as partial and is whole now is
    delivered again where it can be replaced. To be asked before the results are recorded.
    """
    found = {}
    for name, sink in sinks.items():
        told = last_told(sink, name, letter, terms)
        if not told:
            continue
        has_news = restates(sink, name, letter, terms)
        of_rows = _sends_rows(sink) and restates(sink, name, letter, terms, by_rows=True)
        by_rows = sink.is_idempotent if has_news else of_rows
        was_partial = any(one.told.get("is_partial") for one in told)
        loses_mark = has_news and by_rows and was_partial and not letter.is_partial
        if by_rows and not loses_mark:
            has_news = any(
                is_restated(letter.results, _known(session, letter, one), terms.threshold)
                for one in dict.fromkeys(one.recording for one in told)
            )
        if has_news:
            found[name] = sink
    return found


def has_moved(
    session: state.Reader, threshold: Threshold, letter: Delivery, recording: int | None
) -> bool:
    """Whether rows differ from those of a recording by the threshold or more (rule P6).

    While a KPI among them has none, whatever column of a row differs counts; so it does where it is
    not known what was recorded then.
    """
    kpis = {str(kpi) for kpi in letter.results.column("kpi").unique().to_pylist()}
    if recording is None or not all(threshold(kpi) for kpi in kpis):
        return True
    return is_restated(letter.results, _known(session, letter, recording), threshold)


def _sends_rows(sink: Sink) -> bool:
    """Whether the sink is told also of rows that its message does not show."""
    try:
        return sink.sends_rows
    except PLUGIN_ERRORS:  # as below
        return False


def _known(session: state.Reader, letter: Delivery, recording: int | None) -> Known:
    return state.reported(
        session,
        job=letter.job,
        start=letter.period_start,
        grain=letter.grain,
        recording=recording,
    )


def is_restated(results: pa.Table, known: Known, threshold: Threshold) -> bool:
    """Whether a figure differs from what was reported, or is final where it was not. KPIs that the
    job did not have then are no restatement."""
    kpis = {(kpi, variant) for kpi, variant, _ in known}
    now = {}
    columns = ["kpi", "variant", "segment", "value", "unit", "status", "flags"]
    for row in export.flat(results.select(columns)).to_pylist():
        key = (row["kpi"], row["variant"] or "", row["segment"] or "{}")
        if key[:2] in kpis:
            now[key] = row
    still = {kpi for kpi in kpis if any(key[:2] == kpi for key in now)}
    if {key for key in known if key[:2] in still} != set(now):
        return True
    return any(_differs(known[key], row, threshold(key[0])) for key, row in now.items())


def _differs(known: tuple[float | None, bool], row: Mapping[str, Any], threshold: float) -> bool:
    value, was_open = known
    is_open = row["status"] == "maturing" or '"maturing"' in (row["flags"] or "")
    return was_open != is_open or has_changed(value, row["value"], row["unit"], threshold)
