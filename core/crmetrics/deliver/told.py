"""What a report said, and what of it reads differently in the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from crmetrics import export
from crmetrics.message import KpiLine, Message, Restated

if TYPE_CHECKING:
    import pyarrow as pa

Threshold = Callable[[str], float]
"""The smallest change of a KPI (by its id) that is reported again: points as a fraction for percent
KPIs, else relative (rules P6, P8)."""

_NOISE = 1e-9
_DIGITS = 12  # of a value; threads add up in another order each time
_OF_THE_RUN = ("run_id", "as_of", "computed_at")
_OF_THE_DAY = ("goal", "goal_target", "goal_attainment", "goal_status")  # judged to as_of
_NONE = "none"


def fingerprint(message: Message) -> str:
    """Equal for two messages that say the same of the numbers; when and on what data they were
    made (notes, footer) does not count."""
    said = [message.title, message.tone, message.is_partial]
    # That groups are lacking is said by the total in their place.
    lines = [asdict(replace(line, goal_before=None)) for line in message.kpis]
    for line in lines:
        del line["lacks_groups"]
    text = json.dumps([said, lines], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def rows_id(results: pa.Table) -> str:
    """Equal for rows of equal values, in whatever order, by whatever run and however far their
    goals are by now."""
    columns = set(results.column_names) - {*_OF_THE_RUN, *_OF_THE_DAY}
    table = export.flat(results.select(sorted(columns)))
    texts = [[_row_text(value) for value in column.to_pylist()] for column in table.columns]
    lines = sorted(json.dumps(row, ensure_ascii=False) for row in zip(*texts, strict=True))
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()[:32]


def _row_text(value: Any) -> str | None:
    if value is None:
        return None
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def told(message: Message) -> dict[str, Any]:
    """The figures and goal states of a message, JSON-like, for the next report to compare with;
    `whole`: KPI -> its sets of dimensions, sorted, of which every group was shown. `lacking`: KPIs
    of which there was no group. `is_partial`: it was marked as resting on partial data."""
    return {
        "is_partial": message.is_partial,
        "figures": {
            name: {"value": value, "text": text, "unit": unit, "title": title}
            for line in message.kpis
            for name, value, text, unit, title in _figures(line)
        },
        "goals": {line.name: line.goal_status for line in message.kpis if line.goal_status},
        "whole": {line.name: _whole(line) for line in message.kpis if line.breakdowns},
        "lacking": [line.name for line in message.kpis if line.lacks_groups],
    }


def restated(message: Message, before: Mapping[str, Any], threshold: Threshold) -> list[Restated]:
    """The figures that were told (`told` of the former message) and differ by the threshold or
    more. Of a KPI told in both, also a group that has vanished or is new; but not one that only
    left the first groups or came among them, nor a KPI or a way of grouping that is new."""
    known = before.get("figures", {})
    found = []
    for line in message.kpis:
        whole = before.get("whole", {}).get(line.name, [])
        was_lacking = line.name in before.get("lacking", ())
        for name, value, text, unit, title in _figures(line):
            former = known.get(name)
            if former is None:
                dimensions = _dimensions(name)
                if value is not None and (dimensions in whole or (was_lacking and dimensions)):
                    found.append(Restated(title, _NONE, text))
            elif has_changed(former["value"], value, unit, threshold(line.kpi)):
                found.append(Restated(title, former["text"], text))
        found += _vanished(line, known)
    return found


def _vanished(line: KpiLine, known: Mapping[str, Any]) -> Iterator[Restated]:
    """Groups of a KPI that were told and do not exist any more."""
    now, whole = {name for name, *_ in _group_figures(line)}, _whole(line)
    for name, former in known.items():
        if name.partition(" ")[0] != line.name or name in now or former["value"] is None:
            continue
        dimensions = _dimensions(name)
        if dimensions in whole or (line.lacks_groups and dimensions):
            is_known = line.value is not None or not line.lacks_groups
            yield Restated(former["title"], former["text"], _NONE if is_known else line.value_text)


def is_regrouped(message: Message, before: Mapping[str, Any]) -> bool:
    """Whether a KPI that was told shows other groups now, be it that others come first."""
    then = {name.partition(" ")[0]: set[str]() for name in before.get("figures", {})}
    for name in before.get("figures", {}):
        if _dimensions(name):
            then[name.partition(" ")[0]].add(name)
    return any(
        {name for name, *_ in _group_figures(line)} != then[line.name]
        for line in message.kpis
        if line.name in then
    )


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


def _figures(line: KpiLine) -> Iterator[tuple[str, float | None, str, str, str]]:
    """Name, value, text, unit and title of every figure, the groups' after their total."""
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


def _dimensions(name: str) -> list[str]:
    """Those of a figure (`_group_figures` names it), sorted; none of a total."""
    place = name.partition(" ")[2]
    return sorted(json.loads(place)) if place else []


def _whole(line: KpiLine) -> list[list[str]]:
    """The sets of dimensions of which the line shows every group. A note tells of hidden ones."""
    return [sorted(one.dimensions) for one in line.breakdowns if not (one.further or one.note)]
