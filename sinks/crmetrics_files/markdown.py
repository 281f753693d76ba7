"""The report as Markdown (CommonMark with tables)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from crmetrics.plugin import Breakdown, KpiLine, Message

# The last one is a colon before `//`: many readers make a link of a bare address.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&]|:(?=//))")


def markdown_report(message: Message) -> str:
    """Title, headline, notes, one table of all KPIs, one section per KPI, footer."""
    parts = [f"# {_plain(message.title)}", _plain(message.headline)]
    if message.notes:
        parts.append("\n".join(f"> - {_plain(note)}" for note in message.notes))
    parts.append(_overview(message.kpis))
    for line in message.kpis:
        parts += _section(line)
    parts.append("---")
    parts.append("\n".join(f"- {_plain(text)}" for text in message.footer))
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(lines: Sequence[KpiLine]) -> str:
    rows = [(line.title, line.value_text, line.change_text, line.goal_words) for line in lines]
    return _table(("KPI", "Value", "Change", "Goal"), rows) if rows else ""


def _section(line: KpiLine) -> list[str]:
    remarks = [
        ("Signal", line.alert_text),
        ("Trend", line.trend_text),
        ("Goal", line.goal_text),
        ("Guardrails", line.guardrail_text),
        ("State", line.status_text),
        ("Data", line.coverage_text),
    ]
    facts = "\n".join(f"- {name}: {_plain(text)}" for name, text in remarks if text)
    tables = [_breakdown(breakdown) for breakdown in line.breakdowns]
    if not facts and not tables:
        return []
    return [f"## {_plain(line.title)}", facts, *tables]


def _breakdown(breakdown: Breakdown) -> str:
    parts = []
    if breakdown.segments:
        head = (*breakdown.dimensions, "Value", "Change", "n")
        rows = [
            (
                *(segment.segment.get(name, "") for name in breakdown.dimensions),
                segment.value_text,
                "; ".join(text for text in (segment.change_text, segment.goal_text) if text),
                "" if segment.n is None else f"{segment.n:,}",
            )
            for segment in breakdown.segments
        ]
        parts.append(_table(head, rows))
    if breakdown.note:
        parts.append(f"({_plain(breakdown.note)})")
    if breakdown.driver is not None:
        driver = breakdown.driver
        parts.append(f"Largest part of the change: {_plain(driver.label)} {driver.value_text}.")
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), "|" + " --- |" * len(head), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text that no Markdown reader takes for markup, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
