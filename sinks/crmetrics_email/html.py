"""A message as HTML for mail programs: tables for layout, styles inline, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from crmetrics.plugin import Breakdown, KpiLine, Message, Tone, layout

_FONT = "font-family:Helvetica,Arial,sans-serif;color:#1f2328"
_CELL = "padding:6px 10px;border-bottom:1px solid #d8dee4;text-align:left;vertical-align:top"
_NUMBER = _CELL.replace("text-align:left", "text-align:right") + ";white-space:nowrap"
_SMALL = "font-size:12px;color:#57606a"
_COLORS: dict[Tone, str] = {
    "good": "#1a7f37",
    "bad": "#b42318",
    "warning": "#9a6700",
    "neutral": "#1f2328",
}


def html_body(message: Message, picture: str = "") -> str:
    """The whole document. picture: the Content-ID of the chart; empty for none."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(message.title)}</title></head>",
        f'<body style="margin:0;padding:16px;{_FONT};font-size:15px;line-height:1.45">',
        f'<h1 style="font-size:20px;margin:0 0 4px">{escape(message.title)}</h1>',
        _state(message),
        f"<p>{escape(message.headline)}</p>",
        _notes(message.notes),
        _overview(message.kpis),
        _picture(message, picture),
        *(part for line in message.kpis for part in _groups(line)),
        _footer(message.footer),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _state(message: Message) -> str:
    state = layout.state_of(message)
    color = _COLORS[message.tone]
    return (
        f'<p style="margin:0;font-weight:bold;color:{color}">{escape(state)}</p>' if state else ""
    )


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul style="border-left:3px solid #bf8700;margin:8px 0;padding-left:28px">{items}</ul>'


def _overview(lines: Sequence[KpiLine]) -> str:
    if not lines:
        return ""
    rows = "\n".join(_row(line) for line in lines)
    return f'<table cellspacing="0" style="border-collapse:collapse;width:100%">{rows}</table>'


def _row(line: KpiLine) -> str:
    remarks = "".join(
        f'<div style="{_SMALL}">{escape(f"{label}: {text}" if label else text)}</div>'
        for label, text in layout.facts(line)
    )
    return (
        f'<tr><td style="{_CELL}"><b>{escape(line.title)}</b>{remarks}</td>'
        f'<td style="{_NUMBER};font-weight:bold;color:{_COLORS[line.tone]}">'
        f"{escape(line.value_text)}</td></tr>"
    )


def _picture(message: Message, picture: str) -> str:
    if not picture:
        return ""
    alt = escape(f"The courses of the KPIs of {message.title}", quote=True)
    return (
        f'<p><img src="cid:{escape(picture, quote=True)}" alt="{alt}" width="960" '
        'style="max-width:100%;height:auto"></p>'
    )


def _groups(line: KpiLine) -> Iterator[str]:
    for breakdown in line.breakdowns:
        by = f"{line.title} by {', '.join(breakdown.dimensions)}"
        yield f'<h2 style="font-size:15px;margin:18px 0 4px">{escape(by)}</h2>'
        if breakdown.segments:
            rows = "\n".join(_group_rows(breakdown))
            yield f'<table cellspacing="0" style="border-collapse:collapse">{rows}</table>'
        if breakdown.note:
            yield f'<p style="{_SMALL}">({escape(breakdown.note)})</p>'


def _group_rows(breakdown: Breakdown) -> Iterator[str]:
    for segment in breakdown.segments:
        remarks = "; ".join(text for text in (segment.change_text, segment.goal_text) if text)
        yield (
            f'<tr><td style="{_CELL}">{escape(segment.label)}</td>'
            f'<td style="{_NUMBER};color:{_COLORS[segment.tone]}">{escape(segment.value_text)}</td>'
            f'<td style="{_CELL};{_SMALL}">{escape(remarks)}</td></tr>'
        )


def _footer(footer: Sequence[str]) -> str:
    lines = "<br>".join(escape(text) for text in footer)
    return f'<p style="{_SMALL};margin-top:20px">{lines}</p>' if lines else ""


def text_body(message: Message) -> str:
    """The same for those who read text."""
    parts = [message.headline, ""]
    parts += [f"* {note}" for note in message.notes]
    for line in message.kpis:
        parts += ["", f"{layout.MARKS[line.tone]} {line.title}: {line.value_text}"]
        parts += [
            f"  {label}: {text}" if label else f"  {text}" for label, text in layout.facts(line)
        ]
        for breakdown in line.breakdowns:
            parts.append(f"  by {', '.join(breakdown.dimensions)}")
            parts += [f"    {text}" for text in layout.group_lines(breakdown)]
    parts += ["", *message.footer]
    return "\n".join(" ".join(part.split("\n")) for part in parts) + "\n"
