"""A message as an Adaptive Card for a Teams workflow.

Texts of data stand in RichTextBlocks alone: their runs know no markup, so that no name becomes a
link, a list or bold.
"""

from __future__ import annotations

import json
from typing import Any

from crmetrics.plugin import KpiLine, Message, Tone, chart, layout

Json = dict[str, Any]

MAX_BYTES = 26_000
"""Teams takes about 28 KB."""

_COLORS: dict[Tone, str] = {
    "good": "good",
    "bad": "attention",
    "warning": "warning",
    "neutral": "default",
}


def payload(message: Message) -> Json:
    """What is posted: one card, within the size that Teams takes."""
    return layout.fitted(message, _payload, fits)


def fits(built: Json) -> bool:
    """Whether it is small enough as it is sent."""
    return len(json.dumps(built, ensure_ascii=False).encode("utf-8")) <= MAX_BYTES


def _payload(message: Message) -> Json:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "fallbackText": message.headline,
        "body": [*_head(message), *(_kpi(line) for line in message.kpis), *_foot(message)],
    }
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": card,
            }
        ],
    }


def _head(message: Message) -> list[Json]:
    state = layout.state_of(message)
    built = [_rich(_run(message.title, size="large", weight="bolder"))]
    if state:
        mark = layout.MARKS[message.tone]
        built.append(_rich(_run(f"{mark} {state}", color=_COLORS[message.tone])))
    built += [_rich(_run(f"• {note}", color="warning")) for note in message.notes]
    return built


def _kpi(line: KpiLine) -> Json:
    items = [
        _rich(
            _run(f"{layout.MARKS[line.tone]} {line.title}  ", weight="bolder"),
            _run(line.value_text, weight="bolder", color=_COLORS[line.tone]),
        )
    ]
    for label, text in layout.facts(line):
        items.append(_rich(_run(f"{label}: {text}" if label else text)))
    if course := chart.spark_text(line.series):
        items.append(_rich(_run(course, isSubtle=True)))
    for breakdown in line.breakdowns:
        items.append(_rich(_run(f"by {', '.join(breakdown.dimensions)}", isSubtle=True)))
        items += [_rich(_run(text)) for text in layout.group_lines(breakdown)]
    return {"type": "Container", "separator": True, "items": items}


def _foot(message: Message) -> list[Json]:
    if not message.footer:
        return []
    text = " · ".join(message.footer)
    return [{**_rich(_run(text, size="small", isSubtle=True)), "separator": True}]


def _rich(*runs: Json) -> Json:
    return {"type": "RichTextBlock", "inlines": list(runs), "spacing": "small"}


def _run(text: str, **look: Any) -> Json:
    return {"type": "TextRun", "text": text or " ", **look}
