"""Days in stage of histories with everything that can be odd about them, recounted in Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

from crmetrics.engine import Project
from crmetrics.engine.answer import Question
from crmetrics.testing import load_tables, read_tables, write_project

STAGES = ("Discovery", "Proposal", "Negotiation", "Review", "")
NOW = datetime(2030, 1, 1, tzinfo=UTC)
FIRST = datetime(2025, 10, 1, tzinfo=UTC)
MONTHS = [date(2026, month, 1) for month in (1, 2, 3, 4)]


class Step(NamedTuple):
    """A row of the history. deal: empty = nobody knows whose, so it counts for none. stay: its
    `stay_id`, empty = a stay of its own."""

    id: str
    deal: str
    stay: str
    stage: str
    entered: datetime
    exited: datetime | None
    is_closed: bool


def _history(draw: random.Random) -> Iterator[Step]:
    """Deals that come back to a stage, stays of several rows (some of them unnamed, some begun long
    before), clocks that ran backwards, rows that end nowhere."""
    for deal in range(60):
        at = FIRST + timedelta(hours=draw.randrange(24 * 150))
        again = draw.choice([0, 0.15, 0.7])
        stage = draw.choice(STAGES)
        for number in range(draw.randrange(1, 9)):
            if draw.random() > again:
                stage = draw.choice(STAGES)
            # Perhaps one that was there before, and perhaps what a row without a stay is called.
            stay = f"{deal}-{draw.randrange(9)}-0" if draw.random() > 0.3 else ""
            for part in range(draw.choice([1, 1, 1, 2, 3])):
                hours = draw.choice([0, 5, 24 * 4, 24 * 35, 24 * 40, -30 if part == 0 else 1])
                ends = None if draw.random() < 0.05 else at + timedelta(hours=hours)
                closed = draw.random() < 0.05
                whose = str(deal) if draw.random() > 0.02 else ""
                yield Step(f"{deal}-{number}-{part}", whose, stay, stage, at, ends, closed)
                at = ends or at


def _table(steps: list[Step]) -> str:
    names = "id,opportunity_id,stay_id,stage,entered_at,exited_at,is_closed"
    rows = (
        f"{s.id},{s.deal},{s.stay},{s.stage},{s.entered:%Y-%m-%dT%H:%M:%SZ},"
        f"{f'{s.exited:%Y-%m-%dT%H:%M:%SZ}' if s.exited else ''},{str(s.is_closed).lower()}"
        for s in steps
    )
    deals = "\n".join(f"{deal},2025-09-01T00:00:00Z" for deal in range(60))
    history = "\n".join([names, *rows])
    return f"@opportunities\nid,created_at\n{deals}\n@opportunity_stage_history\n{history}\n"


def _stays(steps: list[Step]) -> list[tuple[str, str, datetime, datetime | None]]:
    """Deal, stage, first entry and last exit (None = it goes on) of the stays in open stages."""
    rows = defaultdict(list)
    for step in steps:
        if step.deal and not step.is_closed:
            rows[step.deal, step.stage, step.stay or f"row {step.id}"].append(step)
    found = []
    for (deal, stage, _), parts in rows.items():
        ends = [part.exited for part in parts if part.exited is not None]
        is_over = len(ends) == len(parts)
        found.append((deal, stage, min(p.entered for p in parts), max(ends) if is_over else None))
    return found


Said = dict[tuple[date, str], tuple[float, int, int, int]]


def _recounted(steps: list[Step], months: list[date]) -> Said:
    """(month, stage) -> median, deals, stays that end before they begin, stays that still run."""
    stays, found = _stays(steps), {}
    for month in months:
        start = datetime(month.year, month.month, 1, tzinfo=UTC)
        end = datetime(month.year, month.month + 1, 1, tzinfo=UTC)
        sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        invalid: dict[str, int] = defaultdict(int)
        running: dict[str, int] = defaultdict(int)
        for deal, stage, entered, exited in stays:
            name = stage or "(none)"
            running[name] += entered < end and (exited is None or exited >= end)
            if exited is not None and start <= exited < end:
                days = (exited - entered) / timedelta(days=1)
                invalid[name] += days < 0
                if days >= 0:
                    sums[name][deal] += days
        for name, by_deal in sums.items():
            value = median(by_deal.values())
            found[month, name] = (value, len(by_deal), invalid[name], running[name])
    return found


def _told(rows: list[dict[str, Any]]) -> Said:
    found = {}
    for row in rows:
        coverage = dict(row["coverage"])
        if row["value"] is not None:
            counts = (int(coverage.get(name, 0)) for name in ("invalid_duration", "running"))
            found[row["period_start"], dict(row["segment"])["stage"]] = (
                row["value"], row["n"], *counts,
            )  # fmt: skip
    return found


@pytest.mark.parametrize("large_rows", [1, 1_000_000], ids=["coded", "as texts"])
@pytest.mark.parametrize("seed", range(4))
def test_days_in_stage_of_odd_histories(tmp_path: Path, seed: int, large_rows: int) -> None:
    steps = list(_history(random.Random(seed)))
    write_project(tmp_path, {}, packs=("sales",))
    load_tables(tmp_path, read_tables(_table(steps)))
    project = Project(tmp_path, environ={}, now=lambda: NOW)
    expected = _recounted(steps, MONTHS)
    assert len(expected) > 3 * len(MONTHS)
    periods = tuple(project.calendar.periods(MONTHS[0], date(2026, 5, 1), "month"))
    # All at once, and each alone: what ended before a month begins need not be read for it.
    for asked in (periods, *((period,) for period in periods)):
        with project.answerer(asked) as answerer:
            answerer.large_rows = large_rows
            told = _told(answerer.answer(Question(("stage_duration",), asked)).to_pylist())
        months = {period.start for period in asked}
        wanted = {key: said for key, said in expected.items() if key[0] in months}
        assert told.keys() == wanted.keys()
        for key, (value, *counts) in wanted.items():
            assert told[key][0] == pytest.approx(value, rel=1e-12), key
            assert list(told[key][1:]) == counts, key
