"""Sync after sync into a warehouse: after any changes the same as one that read everything anew."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from crmetrics.testing import SampleCrm
from simulators.hubspot import HubSpotSimulator, Limits
from simulators.hubspot.sample import serve_sample, source_section

READ = ("accounts", "contacts", "opportunities", "opportunity_stage_history", "cases", "orders")
LEFT_OUT = ("source", "updated_at", "is_deleted")
HOUR = timedelta(hours=1)


@pytest.fixture
def sample() -> Iterator[HubSpotSimulator]:
    limits = Limits(per_ten_s=1_000_000, searches_per_s=1_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        crm = SampleCrm(scale=0.05)
        service.clock.now = crm.exported_at
        serve_sample(service.account, crm)
        yield service


def load(folder: Path, service: HubSpotSimulator, **options: Any) -> None:
    """Sync a project at the time of the simulated world; options: further ones of the source."""
    folder.mkdir(exist_ok=True)
    document = {
        "version": 1,
        "project": "syncs",
        "reporting": {"timezone": "UTC", "currency": "USD"},
        "sources": {"crm": {**source_section(service.base_url, service.token), **options}},
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    project = Project(folder, environ={}, now=service.clock)
    needs = {name: project.registry.datasets[name].column_names for name in READ}
    report = sync(project, (), needs=needs)
    assert report.error is None


def records(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What is there of each dataset: neither deleted nor merged away; when it changed left out.

    References to a merged account name the one that took its place, as the engine reads them.
    """
    found = {}
    with duckdb.connect(str(folder / ".crmetrics" / "warehouse.duckdb"), read_only=True) as base:
        for name in READ:
            known = [row[0] for row in base.execute(f"describe crm.{name}").fetchall()]
            shown = [c for c in known if c not in LEFT_OUT and not c.startswith("_")]
            merged = "and merged_into_id is null" if "merged_into_id" in known else ""
            found[name] = base.execute(
                f"select {', '.join(shown)} from crm.{name} where not is_deleted {merged} "
                "order by all"
            ).fetchall()
        into = dict(
            base.execute(
                "select id, merged_into_id from crm.accounts where merged_into_id is not null"
            ).fetchall()
        )
    return {name: sorted(_moved(rows, into), key=repr) for name, rows in found.items()}


def _moved(rows: list[tuple[Any, ...]], into: dict[str, str]) -> Iterator[tuple[Any, ...]]:
    def last(value: Any) -> Any:
        while value in into:
            value = into[value]
        return value

    for row in rows:
        yield tuple(last(value) for value in row)


def change(service: HubSpotSimulator, dice: random.Random, at: datetime) -> None:
    """A morning's work: edits, new deals, the bin and back, merges, and new ties."""
    account = service.account
    deals = account.objects["deals"]
    names = [name for name, r in deals.records.items() if r.archived_at is None]
    for name in dice.sample(names, 12):
        account.update("deals", name, at, amount=str(dice.randrange(1, 10**6)))
    for name in dice.sample(names, 5):
        account.update("deals", name, at, dealstage="1106", hs_is_closed="true")
    for name in dice.sample(names, 3):
        account.archive("deals", name, at)
    for name in [name for name, r in deals.records.items() if r.archived_at is not None][:2]:
        account.restore("deals", name)
    companies = list(account.objects["companies"].records)
    first, second, third = dice.sample(companies, 3)
    account.merge("companies", first, second, at=at)
    for number in range(4):
        values = {"dealstage": "1101", "pipeline": "1100", "amount": str(number)}
        deal = account.create("deals", values, at=at)
        account.associate("deals", deal.id, "companies", third, [(5, "Primary")])
    ticket = dice.choice(list(account.objects["tickets"].records))
    account.update("tickets", ticket, at, hs_pipeline_stage="5", closed_date=at.isoformat())


def test_incremental_syncs_end_where_a_new_project_begins(
    sample: HubSpotSimulator, tmp_path: Path
) -> None:
    dice = random.Random(1)
    load(tmp_path / "often", sample)
    for _ in range(3):
        change(sample, dice, sample.clock.now + HOUR)
        sample.clock.advance(3 * 3600)
        load(tmp_path / "often", sample)
    load(tmp_path / "once", sample)
    often, once = records(tmp_path / "often"), records(tmp_path / "once")
    for name in READ:
        assert often[name] == once[name], name
    assert sample.count("/search") > 3 * len(READ)


def test_a_second_sync_with_nothing_new_reads_no_record(
    sample: HubSpotSimulator, tmp_path: Path
) -> None:
    load(tmp_path / "project", sample)
    before = records(tmp_path / "project")
    sample.clock.advance(3 * 3600)
    load(tmp_path / "project", sample)
    sample.clock.advance(3600)
    calls = len(sample.calls)
    load(tmp_path / "project", sample)
    lists = [call for call in sample.calls[calls:] if "archived=false" in call.target]
    assert not [call for call in lists if "/objects/" in call.path]
    assert records(tmp_path / "project") == before


def test_rules_that_change_are_applied_to_what_was_read_before(
    sample: HubSpotSimulator, tmp_path: Path
) -> None:
    made = sample.clock.now - HOUR
    month_end = (made.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    closing = f"{month_end:%Y-%m-%d}T12:00:00Z"
    values = {"dealstage": "1101", "pipeline": "1100", "closedate": closing}
    sample.account.create("deals", values, at=made)
    load(tmp_path / "steps", sample)
    sample.clock.now += HOUR
    load(tmp_path / "steps", sample, default_close_date="ignore")
    load(tmp_path / "anew", sample, default_close_date="ignore")
    load(tmp_path / "kept", sample)
    assert records(tmp_path / "steps") == records(tmp_path / "anew")
    assert records(tmp_path / "anew") != records(tmp_path / "kept")
