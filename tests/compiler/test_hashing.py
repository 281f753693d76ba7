"""What the hash of a definition rests on: what the definition says, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.testing.examples import read_tables
from crmetrics.testing.projects import load_tables, write_project

NOW = datetime(2026, 2, 1, tzinfo=UTC)
OWN = """
kpis:
  large_deals:
    title: Large deals
    question: How many large deals did we win?
    unit: count
    better: higher
    from: won_deals
    time: close_date
    where: ["amount >= $least"]
    value: count(*)
    settings: {least: 1000}
    variants:
      by_amount: {value: sum(amount), unit: currency}
  large_share:
    title: Large share
    question: Which share of the deals was large?
    unit: percent
    better: higher
    inputs:
      large: {kpi: large_deals}
      all: {from: opportunities, time: close_date, value: count(*)}
    numerator: large
    denominator: all
"""
DEALS = """
@opportunities
id,created_at,close_date,amount,is_closed,is_won
1,2026-01-01,2026-01-10,5000,true,true
"""
WON = "select source, close_date, amount, updated_at from kept_deals\n"
KEPT = "select * from live_opportunities where is_won\n"

LARGE_DEALS, LARGE_SHARE = "ea7c927ac4f7", "169e8b8e5562"
"""The hashes of the definitions above. They change with the texts above alone: if a change of the
engine changed them, every definition of every project would look as if somebody had redefined
it."""


def hashes(
    folder: Path, own: str = OWN, won: str = WON, kept: str = KEPT, **settings: Any
) -> dict[str, str]:
    write_project(folder, {}, packs=(), settings={"large_deals": settings} if settings else {})
    (folder / "metrics" / "sql").mkdir(parents=True)
    (folder / "metrics" / "own.yaml").write_text(own)
    (folder / "metrics" / "sql" / "won_deals.sql").write_text(won)
    (folder / "metrics" / "sql" / "kept_deals.sql").write_text(kept)
    load_tables(folder, read_tables(DEALS))
    project = Project(folder, environ={}, now=lambda: NOW)
    asked = ["large_deals", "large_deals.by_amount", "large_share"]
    rows = project.query(asked, period="2026-01").to_pylist()
    return {f"{row['kpi']}.{row['variant']}".rstrip("."): row["definition_hash"] for row in rows}


@pytest.fixture
def before(tmp_path: Path) -> dict[str, str]:
    return hashes(tmp_path / "before")


def test_the_hash_of_a_definition_is_the_same_in_every_version(before: dict[str, str]) -> None:
    assert before["large_deals"] == LARGE_DEALS
    assert before["large_share"] == LARGE_SHARE
    assert len(set(before.values())) == 3


def test_words_places_and_comments_are_no_definition(
    tmp_path: Path, before: dict[str, str]
) -> None:
    reworded = ("# moved down\n\n" + OWN.replace("title: Large deals", "title: Big deals")).replace(
        "    where:", "    owners: ['@sales']\n    where:"
    )
    told = hashes(tmp_path / "told", reworded, "-- the deals we won\n" + WON, f"\n  {KEPT}")
    assert told == before


ALL = {"large_deals", "large_deals.by_amount", "large_share"}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"own": OWN.replace(">= $least", "> $least")}, ALL),
        ({"own": OWN.replace("least: 1000", "least: 500")}, ALL),
        ({"least": 2000}, ALL),
        ({"won": WON.replace("from kept_deals", "from kept_deals where amount > 0")}, ALL),
        ({"kept": KEPT.replace("is_won", "is_won and is_closed")}, ALL),
        ({"own": OWN.replace("opportunities, time: close_date", "opportunities, time: created_at")},
         {"large_share"}),
        ({"own": OWN.replace("sum(amount)", "max(amount)")}, {"large_deals.by_amount"}),
    ],
)  # fmt: skip
def test_whatever_makes_the_number_makes_the_hash(
    tmp_path: Path, before: dict[str, str], change: dict[str, Any], changed: set[str]
) -> None:
    after = hashes(tmp_path / "after", **change)
    assert {name for name in before if before[name] != after[name]} == changed


def test_neither_the_day_nor_the_groups_make_another_definition(tmp_path: Path) -> None:
    hashes(tmp_path)
    found = {
        row["definition_hash"]
        for day in (1, 20)
        for row in Project(
            tmp_path,
            environ={},
            now=lambda day=day: datetime(2026, 2, day, tzinfo=UTC),  # type: ignore[misc]
        )
        .query(["large_deals"], period="2026-01", by=["source"], totals=True)
        .to_pylist()
    }
    assert len(found) == 1
