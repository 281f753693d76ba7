"""A report message as people read it on a terminal; chat and files have their own renderers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crmetrics.message import Breakdown, KpiLine, Message

_WIDTH = 96
_MARKS = {"good": "+", "bad": "!", "warning": "?", "neutral": " "}


def message_text(message: Message) -> str:
    """Headline, notes, each KPI with its changes, goals and groups, and the footer.

    A mark stands before each KPI: `+` good, `!` bad, `?` uncertain.
    """
    lines = [message.headline, ""]
    lines += [f"Note: {note}" for note in message.notes]
    for kpi in message.kpis:
        lines += _kpi_lines(kpi)
    lines += ["", "; ".join(message.footer)]
    return "\n".join(folded for line in lines for folded in _folded(line))


def _folded(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip(" ")) + 2)
    return textwrap.wrap(line, _WIDTH, subsequent_indent=indent) or [""]


def _kpi_lines(kpi: KpiLine) -> Iterator[str]:
    yield f"{_MARKS[kpi.tone]} {kpi.title}: {kpi.value_text}"
    facts = (
        ("", kpi.status_text),
        ("", kpi.change_text),
        ("", kpi.trend_text),
        ("", kpi.alert_text),
        ("Goal: ", kpi.goal_text),
        ("Guardrails: ", kpi.guardrail_text),
        ("Data: ", kpi.coverage_text),
    )
    yield from (f"    {label}{text}" for label, text in facts if text)
    for breakdown in kpi.breakdowns:
        yield from _breakdown_lines(breakdown)


def _breakdown_lines(breakdown: Breakdown) -> Iterator[str]:
    for segment in breakdown.segments:
        name = ", ".join(segment.segment.values())
        change = f" ({segment.change_text})" if segment.change_text else ""
        yield f"    {name}: {segment.value_text}{change}"
    if breakdown.further:
        yield f"    and {breakdown.further} more"
    if breakdown.note:
        yield f"    {breakdown.note}"
