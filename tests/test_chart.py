"""The picture of a report: what it shows, and that it is a picture."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
import zlib

import pytest

from crmetrics.chart import ChartError, drawable, render_png, spark_text, trend_png, trend_svg
from result_rows import line, message

SVG = "{http://www.w3.org/2000/svg}"
COURSE = {"series": (0.3, None, 0.35, 0.4), "series_labels": ("W02", "W03", "W04", "W05")}


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def dark_pixels(png: bytes) -> tuple[int, int, int]:
    """Width, height and the number of pixels that are not white (8 bits, RGBA, any filter)."""
    width, height = struct.unpack(">II", png[16:24])
    assert (png[24], png[25]) == (8, 6)
    data, position = b"", 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        if png[position + 4 : position + 8] == b"IDAT":
            data += png[position + 8 : position + 8 + length]
        position += length + 12
    raw, stride, dark = zlib.decompress(data), width * 4, 0
    before = bytearray(stride)
    for row in range(height):
        start = row * (stride + 1)
        kind, current = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(kind, current, before)
        dark += sum(1 for pixel in range(0, stride, 4) if current[pixel : pixel + 3] != b"\xff" * 3)
        before = current
    return width, height, dark


def _unfilter(kind: int, current: bytearray, before: bytearray) -> None:
    for index in range(len(current)):
        left = current[index - 4] if index >= 4 else 0
        up, corner = before[index], before[index - 4] if index >= 4 else 0
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda one: abs(guess - one))
        add = (0, left, up, (left + up) // 2, nearest)[kind]
        current[index] = (current[index] + add) & 255


def test_a_panel_shows_title_value_change_and_periods() -> None:
    shown = texts(trend_svg("acme", [line(change_text="up 3 points on the week before", **COURSE)]))
    assert shown == ["acme", "Win rate", "40.0 %", "up 3 points on the week before", "W02", "W05"]


def test_the_course_has_a_gap_where_there_is_no_value() -> None:
    root = ET.fromstring(trend_svg("acme", [line(**COURSE)]))
    lengths = [len(one.attrib["points"].split()) for one in root.iter(f"{SVG}polyline")]
    assert lengths == [1, 2]


def test_higher_values_lie_higher_and_the_target_has_its_line() -> None:
    root = ET.fromstring(trend_svg("acme", [line(target=0.5, **COURSE)]))
    heights = [float(one.attrib["cy"]) for one in root.iter(f"{SVG}circle")][:3]
    assert heights == sorted(heights, reverse=True)
    [dashed] = [one for one in root.iter(f"{SVG}line") if "stroke-dasharray" in one.attrib]
    assert float(dashed.attrib["y1"]) < min(heights)


@pytest.mark.parametrize(
    "series", [(5.0, 5.0, 5.0), (1e308, -1e308), (0.0, 1e-300), (None, 1.0, None, 2.0)]
)
def test_any_course_can_be_drawn(series: tuple[float | None, ...]) -> None:
    svg = trend_svg("acme", [line(series=series)])
    assert "nan" not in svg
    assert "inf" not in svg


@pytest.mark.parametrize("name", ["<b>&\"'", "\x00\x1b bell", "日本 🚀", "x" * 500])
def test_any_name_leaves_the_picture_whole(name: str) -> None:
    assert trend_png(message(line(name, value_text=name, **COURSE), title=name))


def test_the_picture_is_drawn_with_its_own_letters() -> None:
    with_text = render_png(trend_svg("acme", [line("MMMMMMMM", **COURSE)]), scale=1)
    without = render_png(trend_svg("acme", [line("", **COURSE)]), scale=1)
    width, height, dark = dark_pixels(with_text)
    assert (width, height) == (720, 258)
    assert dark > dark_pixels(without)[2] + 300


def test_only_kpis_with_a_course_are_drawn_and_at_most_eight() -> None:
    flat = line("flat", series=(1.0,))
    lines = [line(f"KPI {n}", **COURSE) for n in range(10)]
    assert [one.title for one in drawable(message(flat, *lines))] == [f"KPI {n}" for n in range(8)]


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ChartError, match="no KPI has a course"):
        trend_png(message(line()))


def test_a_course_in_one_line_of_text() -> None:
    assert spark_text((1.0, 2.0, None, 3.0)) == "▁▅·█"
    assert spark_text((2.0, 2.0)) == "▅▅"
    assert spark_text((1.0,)) == ""
    assert spark_text((1e308, -1e308)) == "▅▅"
