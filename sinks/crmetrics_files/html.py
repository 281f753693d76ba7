"""The report as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from crmetrics.plugin import Breakdown, KpiLine, Message

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .25rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #d0d7de; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: #1a7f37; } .bad { color: #b42318; } .warning { color: #8a5a00; }
.notes { border-left: 3px solid #bf8700; padding-left: 1.75rem; }
svg { vertical-align: middle; }
footer { margin-top: 2rem; color: #57606a; font-size: .85rem; }
""".strip()

_WIDTH, _HEIGHT, _MARGIN = 120.0, 28.0, 3.0


def html_report(message: Message) -> str:
    """Title, headline, notes, one table of all KPIs with sparklines, one section per KPI."""
    title = escape(message.title)
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # Whatever a value may hold: nothing is loaded and nothing runs.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{title}</h1>",
        f'<p class="{message.tone}">{escape(message.headline)}</p>',
        _list(message.notes, "notes"),
        _overview(message.kpis),
        *(_section(line) for line in message.kpis),
        f"<footer>{_list(message.footer)}</footer>",
        "</body>",
        "</html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _overview(lines: Sequence[KpiLine]) -> str:
    if not lines:
        return ""
    rows = [
        f'<tr class="{line.tone}"><td>{escape(line.title)}</td>'
        f'<td class="number">{escape(line.value_text)}</td>'
        f"<td>{escape(line.change_text)}</td>"
        f"<td>{sparkline(line.series, line.target)}</td>"
        f"<td>{escape(line.goal_words)}</td></tr>"
        for line in lines
    ]
    head = (
        '<tr><th>KPI</th><th class="number">Value</th><th>Change</th><th>Course</th>'
        "<th>Goal</th></tr>"
    )
    return "\n".join(["<table>", head, *rows, "</table>"])


def _section(line: KpiLine) -> str:
    texts = (
        line.alert_text, line.trend_text, line.goal_text, line.guardrail_text, line.status_text,
        line.coverage_text,
    )  # fmt: skip
    remarks = [text for text in texts if text]
    if not remarks and not line.breakdowns:
        return ""
    tables = [_breakdown(breakdown) for breakdown in line.breakdowns]
    return "\n".join([f"<h2>{escape(line.title)}</h2>", _list(remarks), *tables])


def _breakdown(breakdown: Breakdown) -> str:
    parts = []
    if breakdown.segments:
        names = "".join(f"<th>{escape(name)}</th>" for name in breakdown.dimensions)
        parts += [
            "<table>",
            f'<tr>{names}<th class="number">Value</th><th>Change</th>'
            '<th class="number">n</th></tr>',
            *(_segment_row(breakdown, index) for index in range(len(breakdown.segments))),
            "</table>",
        ]
    if breakdown.note:
        parts.append(f"<p>({escape(breakdown.note)})</p>")
    if breakdown.driver is not None:
        driver = breakdown.driver
        text = f"Largest part of the change: {driver.label} {driver.value_text}."
        parts.append(f"<p>{escape(text)}</p>")
    return "\n".join(parts)


def _segment_row(breakdown: Breakdown, index: int) -> str:
    segment = breakdown.segments[index]
    names = "".join(
        f"<td>{escape(segment.segment.get(name, ''))}</td>" for name in breakdown.dimensions
    )
    change = "; ".join(text for text in (segment.change_text, segment.goal_text) if text)
    n = "" if segment.n is None else f"{segment.n:,}"
    return (
        f'<tr class="{segment.tone}">{names}'
        f'<td class="number">{escape(segment.value_text)}</td>'
        f'<td>{escape(change)}</td><td class="number">{n}</td></tr>'
    )


def _list(texts: Sequence[str], style: str = "") -> str:
    if not texts:
        return ""
    attribute = f' class="{style}"' if style else ""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul{attribute}>{items}</ul>"


# --- sparklines ------------------------------------------------------------------------------


def sparkline(series: Sequence[float | None], target: float | None = None) -> str:
    """A small line of the last periods, oldest first; a gap where there is no value.

    target: drawn as a dashed line. Empty for fewer than two values.
    """
    known = [value for value in series if value is not None]
    if len(known) < 2:
        return ""
    drawn = known if target is None else [*known, target]
    low, high = min(drawn), max(drawn)
    span = high - low

    def height(value: float) -> float:
        # Scaled in shares, so that values near the largest float do not overflow.
        share = 0.5 if not span or span == float("inf") else (value - low) / span
        return _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)

    step = (_WIDTH - 2 * _MARGIN) / (len(series) - 1)
    points = [
        None if value is None else (_MARGIN + index * step, height(value))
        for index, value in enumerate(series)
    ]
    parts = [
        f'<svg width="{_WIDTH:g}" height="{_HEIGHT:g}" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'role="img" aria-label="the last {len(series)} periods">'
    ]
    if target is not None:
        parts.append(
            f'<line x1="0" x2="{_WIDTH:g}" y1="{height(target):.1f}" y2="{height(target):.1f}" '
            'stroke="#8c959f" stroke-dasharray="3 3"/>'
        )
    return "".join([*parts, *_drawn(points), "</svg>"])


def _drawn(points: Sequence[tuple[float, float] | None]) -> Iterator[str]:
    """A line per run of values, and a dot on the last one."""
    for is_gap, run in groupby(points, key=lambda point: point is None):
        if not is_gap:
            path = " ".join(f"{point[0]:.1f},{point[1]:.1f}" for point in run if point is not None)
            yield (
                f'<polyline points="{path}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
            )
    last = points[-1]
    if last is not None:
        yield f'<circle cx="{last[0]:.1f}" cy="{last[1]:.1f}" r="2" fill="currentColor"/>'
