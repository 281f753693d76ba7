"""What goes into the thread below a report: one table per way of grouping, KPIs that found no room,
figures that have changed."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from crmetrics.plugin import KpiLine, Message, Restated, SegmentLine, restatement_text
from crmetrics_slack.blocks import MAX_FALLBACK, Block, Look, fits, kpi_section, mrkdwn
from crmetrics_slack.text import cut, escaped, inert, size

MAX_ROWS = 100
MAX_CELLS = 20
MAX_TABLE = 9_000  # characters of all cells; Slack refuses somewhere above 10,000

_MAX_CELL = 200
_MAX_TITLE = 250
_MAX_CODE = 2_900
_SECTIONS_AT_ONCE = 40

Reply = dict[str, Any]
"""A reply of a thread as Slack takes it, without channel and thread."""


class Table:
    """The groups of all KPIs by one set of dimensions; a row per group, a column per KPI.

    rows: texts as they are, the head first. left_out: what found no room, in words.
    """

    def __init__(self, dimensions: Sequence[str], lines: Sequence[KpiLine]) -> None:
        self.dimensions = tuple(dimensions)
        width = MAX_CELLS - len(self.dimensions)
        self.notes = [f"{len(lines) - width} more KPIs"] if len(lines) > width else []
        shown = list(lines)[:width]
        groups = _groups(self.dimensions, shown)
        self.rows = [[*self.dimensions, *(line.title for line in shown)]]
        self.rows += [
            [*place, *(_cell(groups[place].get(index)) for index in range(len(shown)))]
            for place in groups
        ]
        self._fold(sum(_further(self.dimensions, line) for line in shown[:1]))
        for line in shown:
            self.notes += [b.note for b in line.breakdowns if b.dimensions == self.dimensions]
        self.notes = list(dict.fromkeys(note for note in self.notes if note))

    @property
    def title(self) -> str:
        return f"by {', '.join(self.dimensions)}"

    def _fold(self, further: int) -> None:
        """Leave out rows from the end until the table is within the limits, and say how many."""
        self.rows = [[text[:_MAX_CELL] for text in row] for row in self.rows]
        kept = self.rows[:MAX_ROWS]
        while len(kept) > 1 and _cells_size(kept) > MAX_TABLE:
            kept.pop()
        left_out = len(self.rows) - len(kept)
        if left_out:
            self.notes.append(f"{left_out + further:,} groups more")
        self.rows = kept


def tables(message: Message) -> list[Table]:
    """One per set of dimensions, in the order of the report; none for what is not to be shown."""
    by_dimensions: dict[tuple[str, ...], list[KpiLine]] = {}
    for line in message.kpis:
        for breakdown in line.breakdowns:
            if breakdown.segments or breakdown.note:
                by_dimensions.setdefault(breakdown.dimensions, []).append(line)
    return [Table(dimensions, lines) for dimensions, lines in by_dimensions.items()]


def replies(
    message: Message, folded: Sequence[KpiLine], look: Look, *, as_table: bool
) -> list[Reply]:
    """The thread of a report: KPIs without room first, then a reply per table."""
    found = [_reply(f"{len(part)} more KPIs", part) for part in _chunks(folded, look)]
    for table in tables(message):
        found += _table_replies(table, as_table=as_table)
    return found


def restatement(restated: Iterable[Restated]) -> Reply:
    """Says below a report which of its figures have changed since."""
    texts = [f"• {inert(restatement_text(one))}" for one in restated]
    shown, room = list[str](), _MAX_CODE - 100
    for text in texts:
        room -= size(text) + 1
        if room < 0:
            shown.append(f"and {len(texts) - len(shown)} more")
            break
        shown.append(text)
    block = {
        "type": "section",
        "text": mrkdwn("\n".join(["*Restated: figures have changed*", *shown]), _MAX_CODE),
    }
    fallback = cut(escaped("Restated: " + "; ".join(map(restatement_text, restated))), MAX_FALLBACK)
    return {"text": fallback, "blocks": [block]}


def _chunks(lines: Sequence[KpiLine], look: Look) -> Iterator[list[Block]]:
    """Sections in as few replies as hold them."""
    part: list[Block] = []
    for line in lines:
        section = kpi_section(line, look, groups=0)
        if part and (len(part) == _SECTIONS_AT_ONCE or not fits([*part, section])):
            yield part
            part = []
        part.append(section)
    if part:
        yield part


def _reply(text: str, built: list[Block]) -> Reply:
    return {"text": cut(escaped(text), MAX_FALLBACK), "blocks": built}


def _table_replies(table: Table, *, as_table: bool) -> list[Reply]:
    head: Block = {
        "type": "section",
        "text": mrkdwn(f"*{inert(cut(table.title, _MAX_TITLE))}*", _MAX_TITLE + 200),
    }
    notes = [f"({inert(note)})" for note in table.notes]
    foot: list[Block] = (
        [{"type": "context", "elements": [mrkdwn(" ".join(notes), 2_000)]}] if notes else []
    )
    if len(table.rows) < 2:
        return [_reply(table.title, [head, *foot])]
    if as_table:
        return [_reply(table.title, [head, _table_block(table), *foot])]
    return [_reply(table.title, [head, *_code_blocks(table), *foot])]


def _table_block(table: Table) -> Block:
    left = len(table.dimensions)
    settings = [
        {"align": "left" if index < left else "right", "is_wrapped": True}
        for index in range(len(table.rows[0]))
    ]
    # Slack refuses an empty cell.
    rows = [
        [{"type": "raw_text", "text": escaped(text) or " "} for text in row] for row in table.rows
    ]
    return {"type": "table", "column_settings": settings, "rows": rows}


def _code_blocks(table: Table) -> list[Block]:
    """The table in a fixed-width face, for a workspace that takes no table blocks."""
    widths = [max(_columns(row[i]) for row in table.rows) for i in range(len(table.rows[0]))]
    texts = [
        "  ".join(_padded(text, width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in table.rows
    ]
    built: list[Block] = []
    part: list[str] = []
    for text in [cut(inert(text), _MAX_CODE - 10) for text in texts]:
        if part and size("\n".join([*part, text])) > _MAX_CODE - 8:
            built.append(_code(part))
            part = []
        part.append(text)
    return [*built, _code(part)]


def _code(lines: Sequence[str]) -> Block:
    return {"type": "section", "text": mrkdwn("```\n" + "\n".join(lines) + "\n```", 3_000)}


def _groups(
    dimensions: tuple[str, ...], lines: Sequence[KpiLine]
) -> dict[tuple[str, ...], dict[int, SegmentLine]]:
    """Group -> KPI -> its figure; groups in the order in which the KPIs name them."""
    found: dict[tuple[str, ...], dict[int, SegmentLine]] = {}
    for index, line in enumerate(lines):
        for breakdown in line.breakdowns:
            if breakdown.dimensions != dimensions:
                continue
            for segment in breakdown.segments:
                place = tuple(segment.segment.get(name, "") for name in dimensions)
                found.setdefault(place, {})[index] = segment
    return found


def _cell(segment: SegmentLine | None) -> str:
    if segment is None:
        return "-"
    remarks = [text for text in (segment.change_text, segment.goal_text) if text]
    return f"{segment.value_text} ({'; '.join(remarks)})" if remarks else segment.value_text


def _further(dimensions: tuple[str, ...], line: KpiLine) -> int:
    return sum(b.further for b in line.breakdowns if b.dimensions == dimensions)


def _cells_size(rows: Sequence[Sequence[str]]) -> int:
    return sum(size(escaped(text)) + 30 for row in rows for text in row)


def _columns(text: str) -> int:
    """Width on a fixed-width screen: East Asian characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int) -> str:
    return " ".join(text.split("\n")) + " " * (width - _columns(text))
