"""A message as Block Kit, within every limit of Slack.

What does not fit is never dropped in silence: first groups are left out, then KPIs are folded into
one line each, and each time the text says how many.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crmetrics.plugin import Breakdown, KpiLine, Message, SegmentLine, Tone, by_urgency, chart
from crmetrics_slack.text import cut, escaped, inert, size

Block = dict[str, Any]

MAX_BLOCKS = 50
MAX_TOTAL = 12_000  # all blocks as JSON; Slack refuses somewhere above 13,000
MAX_FALLBACK = 4_000
MAX_HEADER = 150
MAX_SECTION = 3_000
MAX_FIELD = 2_000
MAX_FIELDS = 10
MAX_ELEMENTS = 10

_MAX_NOTES = 1_500
_MAX_FOLDED = 1_500
_MAX_FOOTER_LINE = 250
_MAX_LABEL = 80
_MAX_GROUP = 300
_FOLDED_VALUE = 120
_GROUPS_TRIED = (10, 5, 3, 0)
_BESIDE_KPIS = 4  # header, folded KPIs, notes, footer

_MARKS: dict[Tone, str] = {"good": "🟢", "bad": "🔴", "warning": "🟡", "neutral": "⚪"}
_STATES: dict[Tone, str] = {
    "good": "goals on track",
    "bad": "goal missed or guardrail broken",
    "warning": "needs attention",
    "neutral": "",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How a message is laid out.

    mentions: owner of a goal -> the id of the user or user group that is to be told of a change.
    has_thread: groups, and KPIs that find no room, go to replies instead of the message itself.
    has_sparks: courses are drawn with characters. picture: a block that shows them instead.
    """

    mentions: Mapping[str, str] = field(default_factory=dict)
    has_thread: bool = False
    has_sparks: bool = True
    picture: Block | None = None


@dataclass(frozen=True, slots=True)
class Laid:
    """The blocks of a message, and the KPIs that found no room for more than a line."""

    blocks: list[Block]
    folded: Sequence[KpiLine] = ()


def payload(message: Message, look: Look | None = None) -> dict[str, Any]:
    """The JSON body of a post: a full sentence as fallback, and the blocks."""
    return {
        "text": cut(escaped(message.headline), MAX_FALLBACK),
        "blocks": laid_out(message, look or Look()).blocks,
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def blocks(message: Message) -> list[Block]:
    """The blocks of a message that stands alone."""
    return laid_out(message, Look()).blocks


def laid_out(message: Message, look: Look) -> Laid:
    """Header, one section per KPI (the most urgent first), picture, notes, footer."""
    lines = by_urgency(message.kpis)
    frame = _header(message), _closing(message, look)
    in_full = min(len(lines), MAX_BLOCKS - _BESIDE_KPIS - (look.picture is not None))
    built: list[Block] = []
    sections: list[Block] = []
    for groups in (0,) if look.has_thread else _GROUPS_TRIED:
        sections = [kpi_section(line, look, groups) for line in lines[:in_full]]
        built = _joined(frame, sections, lines[in_full:])
        if fits(built):
            return Laid(built, lines[in_full:])
    while in_full > 0 and not fits(built):
        in_full -= 1
        built = _joined(frame, sections[:in_full], lines[in_full:])
    return Laid(built, lines[in_full:])


def fits(built: Sequence[Block]) -> bool:
    """Whether Slack takes so many blocks of that size."""
    total = size(json.dumps(built, ensure_ascii=False))
    return len(built) <= MAX_BLOCKS and total <= MAX_TOTAL


def _joined(
    frame: tuple[Block, list[Block]], sections: Iterable[Block], rest: Sequence[KpiLine]
) -> list[Block]:
    header, closing = frame
    folded = [_folded(rest)] if rest else []
    return [header, *sections, *folded, *closing]


def _closing(message: Message, look: Look) -> list[Block]:
    built: list[Block] = [] if look.picture is None else [look.picture]
    if message.notes:
        notes = "\n".join(f"• {inert(note)}" for note in message.notes)
        built.append({"type": "section", "text": mrkdwn(notes, _MAX_NOTES)})
    if message.footer:
        built.append(_footer(message.footer))
    return built


def _header(message: Message) -> Block:
    state = _STATES[message.tone]
    if message.is_partial:
        state = f"{state}, partial data" if state else "partial data"
    ending = f" - {state}" if state else ""
    start = f"{_MARKS[message.tone]} {escaped(message.title)}"
    # The state is what the header is for: a long title gives way to it.
    return {
        "type": "header",
        "text": _plain_text(cut(start, MAX_HEADER - size(ending)) + ending, MAX_HEADER),
    }


def kpi_section(line: KpiLine, look: Look, groups: int) -> Block:
    """One KPI: value, change in words, goal, guardrails, marks; its groups as fields."""
    section: Block = {
        "type": "section",
        "text": mrkdwn("\n".join(_kpi_texts(line, look)), MAX_SECTION),
    }
    if look.has_thread:
        return section
    fields = [_breakdown_text(breakdown, groups) for breakdown in line.breakdowns]
    if len(fields) > MAX_FIELDS:
        left_out = len(fields) - MAX_FIELDS + 1
        fields = [*fields[: MAX_FIELDS - 1], f"{left_out} more breakdowns are not shown"]
    if fields:
        section["fields"] = [_plain_text(field, MAX_FIELD) for field in fields]
    return section


def _kpi_texts(line: KpiLine, look: Look) -> list[str]:
    parts = [f"{_MARKS[line.tone]} *{inert(line.title)}*  {inert(line.value_text)}"]
    if line.status_text and line.status_text != line.value_text:
        parts.append(inert(line.status_text))
    if line.change_text:
        parts.append(inert(line.change_text))
    if line.trend_text:
        parts.append(inert(line.trend_text))
    if line.alert_text:
        parts.append(inert(line.alert_text))
    if line.goal_text:
        parts.append(f"Goal: {inert(line.goal_text)}{_call(line, look)}")
    if line.guardrail_text:
        parts.append(f"Guardrails: {inert(line.guardrail_text)}")
    if line.coverage_text:
        parts.append(f"⚠ {inert(line.coverage_text)}")
    if look.has_sparks and (course := chart.spark_text(line.series)):
        parts.append(course)
    return parts + [
        f"Largest part of the change: {inert(driver.label)} {inert(driver.value_text)}"
        for driver in (breakdown.driver for breakdown in line.breakdowns)
        if driver is not None
    ]


def _call(line: KpiLine, look: Look) -> str:
    """Who is told, and why now: only when the goal came into trouble or out of it."""
    if not line.calls_owner:
        return ""
    before = line.goal_words_before
    words = f" (was {before})" if before else ""
    told = look.mentions.get(line.goal_owner)
    if told is None:
        return words
    return f"{words} <!subteam^{told}>" if told.startswith("S") else f"{words} <@{told}>"


def _breakdown_text(breakdown: Breakdown, groups: int) -> str:
    """`by owner.team`, then one line per group, as many as fit and are wanted."""
    head = cut(escaped(f"by {', '.join(breakdown.dimensions)}"), MAX_FIELD // 4)
    shown: list[str] = []
    room = MAX_FIELD - size(head) - MAX_FIELD // 4  # a quarter is kept for what ends the list
    for segment in breakdown.segments[:groups]:
        text = _segment_text(segment)
        room -= size(text) + 1
        if room < 0:
            break
        shown.append(text)
    return "\n".join([head, *shown, *_ending(breakdown, len(shown))])


def _ending(breakdown: Breakdown, shown: int) -> list[str]:
    """How many groups there are beyond those shown, and what else is to be said of them."""
    left_out = len(breakdown.segments) - shown
    if not left_out:
        return [f"({escaped(breakdown.note)})"] if breakdown.note else []
    return [f"({left_out + breakdown.further:,} groups more)"]


def _segment_text(segment: SegmentLine) -> str:
    label = cut(escaped(segment.label[: _MAX_LABEL + 1]), _MAX_LABEL)
    value = escaped(segment.value_text[: _MAX_GROUP + 1])
    remarks = (segment.change_text, segment.goal_text)
    details = [escaped(remark[: _MAX_GROUP + 1]) for remark in remarks if remark]
    text = f"{label}: {value}"
    return cut(f"{text} ({'; '.join(details)})" if details else text, _MAX_GROUP)


def _folded(lines: Sequence[KpiLine]) -> Block:
    """KPIs that found no room, in one line each, the last of them only counted."""
    count = len(lines)
    parts = [f"*{count} more KPI{'s' if count > 1 else ''}*"]
    room = _MAX_FOLDED - size(parts[0]) - 40
    for index, line in enumerate(lines):
        value = cut(inert(f"{line.title}: {line.value_text}"), _FOLDED_VALUE)
        text = f"{_MARKS[line.tone]} {value}"
        room -= size(text) + 1
        if room < 0:
            parts.append(f"and {count - index} without their values")
            break
        parts.append(text)
    return {"type": "section", "text": mrkdwn("\n".join(parts), _MAX_FOLDED)}


def _footer(lines: Iterable[str]) -> Block:
    texts = [cut(inert(line), _MAX_FOOTER_LINE) for line in lines]
    if len(texts) > MAX_ELEMENTS:
        left_out = len(texts) - MAX_ELEMENTS + 1
        texts = [*texts[: MAX_ELEMENTS - 1], f"{left_out} more lines"]
    return {"type": "context", "elements": [mrkdwn(text, MAX_SECTION) for text in texts]}


def mrkdwn(text: str, limit: int) -> Block:
    """A text object with markup of ours; data in it must be `inert`."""
    # verbatim: Slack neither links names nor parses mentions in it.
    return {"type": "mrkdwn", "text": cut(text, limit), "verbatim": True}


def _plain_text(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": cut(text, limit), "emoji": False}
