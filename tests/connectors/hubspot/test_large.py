"""Two hundred thousand records in the memory of twenty thousand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.hubspot import HubSpotSimulator, Limits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc"),
]

SMALL, LARGE = 20_000, 200_000
ALLOWED_MB = 120
"""What DuckDB may hold of more rows in its buffers; the rows as objects would take three times as
much."""

_CHILD = r"""
import re, sys
from pathlib import Path
from crmetrics.engine import Project
from crmetrics.engine.loading import sync
project = Project(sys.argv[1], environ={})
report = sync(project, (), needs={sys.argv[2]: sys.argv[3:]})
print("error:", report.error)
# Not ru_maxrss, which begins with the size of the process that started this one.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print("peak_mb:", int(peak[1]) / 1024)
"""
COLUMNS = ("id", "amount", "stage", "close_date", "owner_id", "created_at", "updated_at")
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def load(folder: Path, service: HubSpotSimulator, dataset: str, columns: Sequence[str]) -> float:
    """Peak memory of a process that loads a dataset of an account."""
    folder.mkdir()
    source = {
        "connector": "hubspot",
        "base_url": service.base_url,
        "auth": {"token": service.token},
    }
    document = {
        "version": 1,
        "project": "large",
        "warehouse": {"path": "warehouse.duckdb", "memory_limit": "200MB", "threads": 2},
        "sources": {"hs": source},
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    command = [sys.executable, "-c", _CHILD, str(folder), dataset, *columns]
    child = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert "error: None" in child.stdout, child.stdout + child.stderr
    return float(child.stdout.rpartition("peak_mb:")[2])


def asked(folder: Path, query: str) -> Any:
    """One row of the warehouse."""
    import duckdb

    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as base:
        return base.execute(query).fetchone()


def peak_mb(folder: Path, records: int) -> float:
    """Peak memory of a process that loads so many deals from an account."""
    limits = Limits(per_ten_s=10_000_000, searches_per_s=10_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.compresses = False
        for number in range(records):
            service.account.create(
                "deals",
                {"amount": str(number), "dealstage": "proposal", "hubspot_owner_id": "7",
                 "dealname": "Ünïcode, \"quoted\"", "closedate": "2026-03-31T12:00:00Z"},
            )  # fmt: skip
        peak = load(folder, service, "opportunities", COLUMNS)
        assert service.count(r"GET .*/deals\?.*archived=false") == records // 100
    found = asked(folder, "select count(*), sum(amount) from crm.opportunities")
    assert found == (records, records * (records - 1) // 2)
    return peak


def sends_peak_mb(folder: Path, events: int) -> float:
    """Peak memory of a process that loads the sends of so many events of the log, a day's worth of
    them after the other."""
    limits = Limits(per_ten_s=10_000_000, searches_per_s=10_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.compresses = False
        service.clock.now = NOW
        for number in range(500):
            values = {"email": f"reader{number}@example.com"}
            service.account.create("contacts", values, record_id=str(number), at=NOW)
        log = service.account.log
        for number in range(events // 2):
            at = NOW - timedelta(minutes=10 * number + 20)
            sent = log.add("SENT", f"reader{number % 500}@example.com", "7", at)
            log.add("OPEN", sent["recipient"], "7", at + timedelta(minutes=9), of=sent)
        peak = load(folder, service, "campaign_members", ("sent_at", "contact_id", "opened_at"))
    found = asked(
        folder,
        "select count(*), count(contact_id), count(*) filter (where opened_at - sent_at = interval "
        "9 minutes) from crm.campaign_members",
    )
    assert found == (events // 2,) * 3
    return peak


def test_ten_times_the_records_need_no_more_memory(tmp_path: Path) -> None:
    small = peak_mb(tmp_path / "small", SMALL)
    large = peak_mb(tmp_path / "large", LARGE)
    assert large - small < ALLOWED_MB, f"{SMALL:,}: {small:.0f} MB, {LARGE:,}: {large:.0f} MB"


def test_ten_times_the_events_of_emails_need_no_more_memory(tmp_path: Path) -> None:
    small = sends_peak_mb(tmp_path / "small", SMALL)
    large = sends_peak_mb(tmp_path / "large", LARGE)
    assert large - small < ALLOWED_MB, f"{SMALL:,}: {small:.0f} MB, {LARGE:,}: {large:.0f} MB"
