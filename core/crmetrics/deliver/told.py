"""What a report said, and what of it reads differently in the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from crmetrics.message import KpiLine, Message, Restated

Threshold = Callable[[str], float]
"""The smallest change of a KPI (by its id) that is reported again: points as a fraction for percent
KPIs, else relative (rules P6, P8)."""

_NOISE = 1e-9


def fingerprint(message: Message) -> str:
    """Equal for two messages that say the same of the numbers; when and on what data they were
    made (notes, footer) does not count."""
    said = [message.title, message.tone, message.is_partial]
    lines = [asdict(replace(line, goal_before=None)) for line in message.kpis]
    text = json.dumps([said, lines], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def told(message: Message) -> dict[str, Any]:
    """The figures and goal states of a message, JSON-like, for the next report to compare with."""
    return {
        "figures": {
            name: {"value": value, "text": text, "unit": unit, "title": title}
            for name, value, text, unit, title in _figures(message)
        },
        "goals": {line.name: line.goal_status for line in message.kpis if line.goal_status},
    }


def restated(message: Message, before: Mapping[str, Any], threshold: Threshold) -> list[Restated]:
    """The figures that were told (`told` of the former message) and differ by the threshold or
    more; new and vanished ones are no restatement."""
    known = before.get("figures", {})
    found = []
    for name, value, text, unit, title in _figures(message):
        former = known.get(name)
        if former is None:
            continue
        kpi = name.partition(" ")[0].partition(".")[0]
        if has_changed(former["value"], value, unit, threshold(kpi)):
            found.append(Restated(title, former["text"], text))
    return found


def has_changed(before: float | None, after: float | None, unit: str, threshold: float) -> bool:
    """Whether a value changed by the threshold or more; from or to no value always counts."""
    if before is None or after is None:
        return before is not after
    moved = abs(after - before)
    if moved <= _NOISE * max(abs(before), abs(after)):
        return False
    if unit != "percent":
        moved = moved / abs(before) if before else float("inf")
    return moved >= threshold * (1 - _NOISE)


def with_goals_before(message: Message, before: Mapping[str, Any]) -> Message:
    """The message that knows how its goals stood in the former report (`told` of it)."""
    goals = before.get("goals", {})
    lines = tuple(replace(line, goal_before=goals.get(line.name)) for line in message.kpis)
    return replace(message, kpis=lines)


def _figures(message: Message) -> Iterator[tuple[str, float | None, str, str, str]]:
    """Name, value, text, unit and title of every figure, the groups' after their total."""
    for line in message.kpis:
        if line.value is not None or not line.breakdowns:
            yield line.name, line.value, line.value_text, line.unit, line.title
        yield from _group_figures(line)


def _group_figures(line: KpiLine) -> Iterator[tuple[str, float | None, str, str, str]]:
    for breakdown in line.breakdowns:
        for segment in breakdown.segments:
            place = json.dumps(dict(segment.segment), sort_keys=True, ensure_ascii=False)
            name = f"{line.name} {place}"
            title = f"{line.title}, {segment.label}"
            yield name, segment.value, segment.value_text, line.unit, title
