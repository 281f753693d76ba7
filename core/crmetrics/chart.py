"""The courses of a report's KPIs as one picture, drawn without a browser.

`trend_svg` draws; `render_png` turns that into a PNG with the fonts that come along, so that the
picture is the same on every machine. It needs the extra `charts` (resvg, 3 MB).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from crmetrics.errors import CrmetricsError
from crmetrics.message import KpiLine, Message, Tone

MOST_PANELS = 8

_FAMILY = "DejaVu Sans"
_WIDTH, _PANEL_WIDTH, _PANEL_HEIGHT, _TOP = 960.0, 480.0, 190.0, 56.0
_LEFT, _RIGHT, _HEAD, _FOOT = 24.0, 24.0, 62.0, 34.0
_INK, _MUTED, _GRID = "#1f2328", "#57606a", "#d8dee4"
_COLORS: dict[Tone, str] = {
    "good": "#1a7f37",
    "bad": "#b42318",
    "warning": "#9a6700",
    "neutral": "#0b5cad",
}
_MOST_CHARACTERS = 46


class ChartError(CrmetricsError):
    """The picture cannot be drawn here."""


def drawable(message: Message) -> list[KpiLine]:
    """The KPIs that have a course to show: two known values or more, at most `MOST_PANELS`."""
    lines = [line for line in message.kpis if sum(v is not None for v in line.series) > 1]
    return lines[:MOST_PANELS]


def is_installed() -> bool:
    """Whether pictures can be made here: the extra `charts`."""
    from importlib.util import find_spec

    return find_spec("resvg_py") is not None


def trend_png(message: Message) -> bytes:
    """The courses of the KPIs as a PNG. Raises ChartError when there is none to draw, or nothing
    to draw it with."""
    lines = drawable(message)
    if not lines:
        raise ChartError("no KPI has a course to draw")
    return render_png(trend_svg(message.title, lines))


def trend_svg(title: str, lines: Sequence[KpiLine]) -> str:
    """A panel per KPI, two in a row: its course, its last value, its target as a dashed line."""
    columns = 1 if len(lines) == 1 else 2
    rows = -(-len(lines) // columns)
    width = _WIDTH if columns == 2 else _PANEL_WIDTH * 1.5
    panel_width = width / columns
    height = _TOP + rows * _PANEL_HEIGHT + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="{_FAMILY}">',
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
        _text(_LEFT, 36, title, size=19, weight="bold", most=int(width / 12)),
    ]
    for index, line in enumerate(lines):
        x, y = (index % columns) * panel_width, _TOP + (index // columns) * _PANEL_HEIGHT
        parts.append(f'<g transform="translate({x:g},{y:g})">')
        parts += _panel(line, panel_width)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"])


def render_png(svg: str, *, scale: float = 2.0) -> bytes:
    """The SVG as a PNG of twice its size. Raises ChartError when resvg is not installed."""
    try:
        import resvg_py
    except ImportError:
        raise ChartError(
            "charts need the extra 'charts': pip install 'crmetrics[charts]'"
        ) from None
    fonts = Path(__file__).parent / "fonts"
    picture: bytes = bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            zoom=int(scale),
            skip_system_fonts=True,
            font_files=[str(font) for font in sorted(fonts.glob("*.ttf"))],
            font_family=_FAMILY,
            sans_serif_family=_FAMILY,
        )
    )
    return picture


# --- one panel ---------------------------------------------------------------------------------


def _panel(line: KpiLine, width: float) -> Iterator[str]:
    color = _COLORS[line.tone]
    yield _text(_LEFT, 20, line.title, size=14, fill=_MUTED, most=_MOST_CHARACTERS)
    yield _text(_LEFT, 48, line.value_text, size=22, weight="bold", fill=color, most=24)
    if line.change_text:
        first = line.change_text.partition(", ")[0]
        yield _text(width - _RIGHT, 46, first, size=12, fill=_MUTED, anchor="end", most=36)
    points = _points(line, width)
    bottom = _PANEL_HEIGHT - _FOOT
    yield (
        f'<line x1="{_LEFT:g}" x2="{width - _RIGHT:g}" y1="{bottom:g}" y2="{bottom:g}" '
        f'stroke="{_GRID}"/>'
    )
    if line.target is not None:
        y = _height(line.target, line)
        yield (
            f'<line x1="{_LEFT:g}" x2="{width - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{_MUTED}" stroke-width="1.2" stroke-dasharray="5 4"/>'
        )
        yield _text(_LEFT, y - 5, "target", size=10, fill=_MUTED)
    yield from _course(points, color)
    yield from _labels(line, width)


def _course(points: Sequence[tuple[float, float] | None], color: str) -> Iterator[str]:
    """A line per run of values, a gap where there is none, a dot on each and a ring on the last."""
    for is_gap, run in groupby(points, key=lambda point: point is None):
        if is_gap:
            continue
        known = [point for point in run if point is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
        yield (
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2.4" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{color}"/>' for x, y in known)
    if points[-1] is not None:
        x, y = points[-1]
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#ffffff" stroke="{color}" '
            'stroke-width="2.4"/>'
        )


def _labels(line: KpiLine, width: float) -> Iterator[str]:
    """The first and the last period under the course."""
    if not line.series_labels:
        return
    y = _PANEL_HEIGHT - _FOOT + 17
    yield _text(_LEFT, y, line.series_labels[0], size=11, fill=_MUTED)
    yield _text(width - _RIGHT, y, line.series_labels[-1], size=11, fill=_MUTED, anchor="end")


def _points(line: KpiLine, width: float) -> list[tuple[float, float] | None]:
    span = width - _LEFT - _RIGHT - 12
    step = span / max(len(line.series) - 1, 1)
    return [
        None if value is None else (_LEFT + 6 + index * step, _height(value, line))
        for index, value in enumerate(line.series)
    ]


def _height(value: float, line: KpiLine) -> float:
    """Where a value lies: the lowest of values and target at the foot, the highest at the top."""
    known = [one for one in line.series if one is not None]
    if line.target is not None:
        known.append(line.target)
    low, high = min(known), max(known)
    span = high - low
    # In shares, so that values near the largest float do not overflow.
    share = 0.5 if not span or span == float("inf") else (value - low) / span
    top, bottom = _HEAD + 8, _PANEL_HEIGHT - _FOOT - 10
    return bottom - share * (bottom - top)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int,
    fill: str = _INK,
    weight: str = "normal",
    anchor: str = "start",
    most: int = 60,
) -> str:
    shown = text if len(text) <= most else text[: most - 1].rstrip() + "…"
    # What XML cannot hold would make the whole picture fail.
    shown = "".join(character for character in shown if character.isprintable())
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(shown)}</text>'
    )


# --- in one line of text -----------------------------------------------------------------------

_BARS = "▁▂▃▄▅▆▇█"


def spark_text(series: Sequence[float | None]) -> str:
    """The course in block characters, `·` where there is no value; empty for fewer than two."""
    known = [value for value in series if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    span = high - low

    def bar(value: float | None) -> str:
        if value is None:
            return "·"
        share = 0.5 if not span or span == float("inf") else (value - low) / span
        return _BARS[min(int(share * len(_BARS)), len(_BARS) - 1)]

    return "".join(bar(value) for value in series)
