"""A message as a card for Google Chat, with a text for notifications.

Paragraphs of a card know a little HTML, the text a little markup and mentions: data are escaped for
the one and broken up for the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from crmetrics.plugin import KpiLine, Message, Tone, chart, layout

Json = dict[str, Any]

MAX_BYTES = 30_000
"""Google Chat takes 32,000 bytes."""
MAX_TEXT = 4_000

_BREAK = "\u200b"
_ACTIVE = re.compile(r"([<>*_~`])")
_COLORS: dict[Tone, str] = {
    "good": "#1a7f37",
    "bad": "#b42318",
    "warning": "#9a6700",
    "neutral": "#1f2328",
}


def payload(message: Message) -> Json:
    """What is posted: a text and one card, within the size that Google Chat takes."""
    return layout.fitted(message, _payload, fits)


def fits(built: Json) -> bool:
    """Whether it is small enough as it is sent."""
    return len(json.dumps(built, ensure_ascii=False).encode("utf-8")) <= MAX_BYTES


def inert(text: str) -> str:
    """Data in the text of a message: no markup, link or mention comes out of it."""
    return _ACTIVE.sub(rf"{_BREAK}\1{_BREAK}", text)


def _payload(message: Message) -> Json:
    sections = [_notes(message)] if message.notes else []
    sections += [_kpi(line) for line in message.kpis]
    if message.footer:
        sections.append({"widgets": [_paragraph(escape(" · ".join(message.footer)))]})
    state = layout.state_of(message)
    header = {"title": message.title, "subtitle": f"{layout.MARKS[message.tone]} {state}".strip()}
    # A card must have a widget.
    empty = {"widgets": [_paragraph(escape(message.headline))]}
    return {
        "text": _cut(inert(message.headline)),
        "cardsV2": [
            {"cardId": "report", "card": {"header": header, "sections": sections or [empty]}}
        ],
    }


def _notes(message: Message) -> Json:
    text = "<br>".join(f"• {escape(note)}" for note in message.notes)
    return {"widgets": [_paragraph(f'<font color="{_COLORS["warning"]}">{text}</font>')]}


def _kpi(line: KpiLine) -> Json:
    return {"widgets": [_paragraph("<br>".join(_kpi_lines(line)))]}


def _kpi_lines(line: KpiLine) -> Iterator[str]:
    mark, color = layout.MARKS[line.tone], _COLORS[line.tone]
    value = f'<font color="{color}"><b>{escape(line.value_text)}</b></font>'
    yield f"{mark} <b>{escape(line.title)}</b>  {value}"
    for label, text in layout.facts(line):
        yield f"{label}: {escape(text)}" if label else escape(text)
    if course := chart.spark_text(line.series):
        yield course
    for breakdown in line.breakdowns:
        yield f"<i>by {escape(', '.join(breakdown.dimensions))}</i>"
        yield from (escape(text) for text in layout.group_lines(breakdown))


def _paragraph(html: str) -> Json:
    return {"textParagraph": {"text": html}}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1].rstrip() + "…"
