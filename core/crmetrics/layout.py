"""A report as rows of plain text, for renderers whose formats differ only in their brackets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from crmetrics.message import Breakdown, KpiLine, Message, SegmentLine, Tone, by_urgency

MARKS: dict[Tone, str] = {"good": "🟢", "bad": "🔴", "warning": "🟡", "neutral": "⚪"}
"""A tone as a sign."""

STATES: dict[Tone, str] = {
    "good": "goals on track",
    "bad": "goal missed or guardrail broken",
    "warning": "needs attention",
    "neutral": "",
}
"""The tone of a whole report in words."""

_GROUPS_TRIED = (10, 5, 3, 0)
_Built = TypeVar("_Built")


def state_of(message: Message) -> str:
    """How the report stands, in words; empty when there is nothing to say."""
    parts = [STATES[message.tone], "partial data" if message.is_partial else ""]
    return ", ".join(part for part in parts if part)


def facts(line: KpiLine) -> list[tuple[str, str]]:
    """What is said of a KPI beside its value: (label, text); a label may be empty."""
    found = [("", line.status_text if line.status_text != line.value_text else "")]
    found += [("", line.change_text), ("", line.trend_text), ("", line.alert_text)]
    goal = line.goal_text
    if goal and line.calls_owner and line.goal_words_before:
        goal = f"{goal} (was {line.goal_words_before})"
    found += [("Goal", goal), ("Guardrails", line.guardrail_text), ("Data", line.coverage_text)]
    found += [
        ("Largest part of the change", f"{driver.label} {driver.value_text}")
        for driver in (breakdown.driver for breakdown in line.breakdowns)
        if driver is not None
    ]
    return [(label, text) for label, text in found if text]


def group_text(segment: SegmentLine) -> str:
    """`East: 40.0 % (up 3.1 points)`"""
    remarks = [text for text in (segment.change_text, segment.goal_text) if text]
    text = f"{segment.label}: {segment.value_text}"
    return f"{text} ({'; '.join(remarks)})" if remarks else text


def group_lines(breakdown: Breakdown) -> Iterator[str]:
    """The groups, one per line, and what else is to be said of them."""
    yield from (group_text(segment) for segment in breakdown.segments)
    if breakdown.note:
        yield f"({breakdown.note})"


def fitted(
    message: Message, build: Callable[[Message], _Built], fits: Callable[[_Built], bool]
) -> _Built:
    """What `build` makes of as much of the message as fits: first groups give way, then long texts,
    then KPIs, the least urgent first; what is left out is counted in the notes."""
    lines = by_urgency(message.kpis)
    built = build(replace(message, kpis=tuple(lines)))
    for groups in _GROUPS_TRIED:
        shown = tuple(_with_groups(line, groups) for line in lines)
        built = build(replace(message, kpis=shown))
        if fits(built):
            return built
    short = [_shortened(_with_groups(line, 0)) for line in lines]
    notes = tuple(_cut(note, 300) for note in message.notes[:5])
    if any(line.breakdowns for line in lines):
        notes = (*notes, "groups are not shown")
    footer = tuple(_cut(text, 300) for text in message.footer[:8])
    message = replace(message, headline=_cut(message.headline, 600), title=_cut(message.title, 150))
    count = len(short)
    while True:
        left_out = len(short) - count
        told = (*notes, f"{left_out} more KPIs are not shown") if left_out else notes
        built = build(replace(message, kpis=tuple(short[:count]), notes=told, footer=footer))
        if fits(built) or not count:
            return built
        count = count * 3 // 4


def _with_groups(line: KpiLine, count: int) -> KpiLine:
    return replace(line, breakdowns=tuple(_first(one, count) for one in line.breakdowns))


def _first(breakdown: Breakdown, count: int) -> Breakdown:
    left_out = len(breakdown.segments) - count
    if left_out <= 0:
        return breakdown
    note = f"{left_out + breakdown.further:,} groups more"
    return replace(breakdown, segments=breakdown.segments[:count], further=0, note=note)


def _shortened(line: KpiLine) -> KpiLine:
    return replace(
        line,
        title=_cut(line.title, 200),
        value_text=_cut(line.value_text, 200),
        status_text=_cut(line.status_text, 200),
        change_text=_cut(line.change_text, 200),
        goal_text=_cut(line.goal_text, 200),
        trend_text=_cut(line.trend_text, 200),
        alert_text=_cut(line.alert_text, 200),
        guardrail_text=_cut(line.guardrail_text, 200),
        coverage_text=_cut(line.coverage_text, 200),
        breakdowns=(),
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
