"""From result rows to the message that sinks render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from crmetrics import export
from crmetrics.deliver.lines import Entry, Facts, Row, Series, kpi_line
from crmetrics.goals import Alert, GoalVerdict, KpiTraits, Trend, kpi_name
from crmetrics.message import KpiLine, Message, Tone, compose_headline
from crmetrics.periods import Period

if TYPE_CHECKING:
    import pyarrow as pa

_HASH_SHOWN = 8


def build_message(
    results: pa.Table,
    facts: Facts,
    traits: Mapping[str, KpiTraits],
    *,
    verdicts: Sequence[GoalVerdict] = (),
    history: Mapping[str, Series] | None = None,
    trends: Mapping[str, Trend] | None = None,
    alerts: Mapping[tuple[str, str], Alert] | None = None,
) -> Message:
    """The report of a job: one line per KPI and variant, in the order of the results.

    results: `results.result_schema()`. A KPI is shown for the reported period; one without a row
    in it (a goal has a span of its own) with all its rows. The value of a line is the total's, so
    the results should hold totals beside the groups. traits, history, trends: by `ID` or
    `ID.VARIANT`; what history holds of the reported period is overruled by the results. alerts: by
    KPI and segment as JSON text.
    """
    lines = []
    for name, rows in _rows_by_kpi(results, facts.period).items():
        entry = Entry(
            rows=rows,
            traits=traits.get(name) or KpiTraits(name),
            verdicts=[verdict for verdict in verdicts if verdict.goal.kpi == name],
            series=(history or {}).get(name, ()),
            trend=(trends or {}).get(name),
            alerts={place[1]: alert for place, alert in (alerts or {}).items() if place[0] == name},
        )
        lines.append(kpi_line(entry, facts, traits))
    label = facts.calendar.label(facts.period)
    words = f"{facts.job.replace('_', ' ')} {label}"
    title = f"{facts.project}: {words}" if facts.project else words
    return Message(
        title=title,
        headline=compose_headline(title, lines, is_partial=facts.is_partial),
        period_label=label,
        period_start=facts.period.start.isoformat(),
        period_end=facts.period.end.isoformat(),
        tone=_tone(lines, verdicts, facts.is_partial),
        kpis=tuple(lines),
        notes=tuple(note.text for note in facts.notes),
        chat_notes=tuple(note.chat for note in facts.notes),
        footer=_footer(results, facts, label),
        created_at=facts.created_at,
        is_partial=facts.is_partial,
    )


def _rows_by_kpi(results: pa.Table, period: Period) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    places = export.flat(results.select(["segment"])).column("segment").to_pylist()
    for row, place in zip(results.to_pylist(), places, strict=True):
        row["place"] = place
        row["segment"] = {key: value or "(none)" for key, value in row["segment"] or ()}
        row["coverage"] = dict(row["coverage"] or ())
        row["flags"] = tuple(row["flags"] or ())
        found.setdefault(kpi_name(row["kpi"], row["variant"]), []).append(row)
    for name, rows in found.items():
        reported = [row for row in rows if row["period_start"] == period.start]
        found[name] = reported or rows
    return found


def _tone(lines: Sequence[KpiLine], verdicts: Sequence[GoalVerdict], is_partial: bool) -> Tone:
    """The whole report at a glance: goals and data decide, a change of one KPI does not."""
    if any(verdict.is_missed for verdict in verdicts):
        return "bad"
    statuses = {verdict.status for verdict in verdicts}
    if is_partial or "at_risk" in statuses or any(line.tone == "warning" for line in lines):
        return "warning"
    return "good" if statuses - {""} else "neutral"


def _footer(results: pa.Table, facts: Facts, label: str) -> tuple[str, ...]:
    """What the numbers rest on (V3): period, as_of, zone, currency, filter, definitions, run."""
    period, calendar = facts.period, facts.calendar
    last_day = period.end - timedelta(days=1)
    days = f"{period.start} to {last_day}" if last_day != period.start else f"{period.start}"
    as_of = facts.as_of.astimezone(calendar.zone)
    footer = [
        f"Period {label} ({days})",
        f"Data as of {as_of:%Y-%m-%d %H:%M} {calendar.timezone}",
        f"Currency {facts.currency}",
    ]
    if facts.where:
        footer.append(f"Filter {facts.where}")
    hashes = {
        row["kpi"]: row["definition_hash"]
        for row in results.select(["kpi", "definition_hash"]).to_pylist()
        if row["definition_hash"]
    }
    if hashes:
        marks = (f"{kpi} {value[:_HASH_SHOWN]}" for kpi, value in hashes.items())
        footer.append(f"Definitions {', '.join(marks)}")
    run_ids = [run_id for run_id in results.column("run_id").unique().to_pylist() if run_id]
    if run_ids:
        footer.append(f"Run {', '.join(run_ids)}")
    return tuple(footer)
