"""Two hundred thousand records in the memory of twenty thousand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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
report = sync(project, (), needs={"opportunities": sys.argv[2:]})
print("error:", report.error)
# Not ru_maxrss, which begins with the size of the process that started this one.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print("peak_mb:", int(peak[1]) / 1024)
"""
COLUMNS = ("id", "amount", "stage", "close_date", "owner_id", "created_at", "updated_at")


def peak_mb(folder: Path, records: int, columns: Sequence[str] = COLUMNS) -> float:
    """Peak memory of a process that loads so many deals from an account."""
    import duckdb

    limits = Limits(per_ten_s=10_000_000, searches_per_s=10_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.compresses = False
        for number in range(records):
            service.account.create(
                "deals",
                {"amount": str(number), "dealstage": "proposal", "hubspot_owner_id": "7",
                 "dealname": "Ünïcode, \"quoted\"", "closedate": "2026-03-31T12:00:00Z"},
            )  # fmt: skip
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
        command = [sys.executable, "-c", _CHILD, str(folder), *columns]
        child = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert "error: None" in child.stdout, child.stdout + child.stderr
        assert service.count(r"GET .*/deals\?.*archived=false") == records // 100
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as base:
        found = base.execute("select count(*), sum(amount) from crm.opportunities").fetchone()
    assert found == (records, records * (records - 1) // 2)
    return float(child.stdout.rpartition("peak_mb:")[2])


def test_ten_times_the_records_need_no_more_memory(tmp_path: Path) -> None:
    small = peak_mb(tmp_path / "small", SMALL)
    large = peak_mb(tmp_path / "large", LARGE)
    assert large - small < ALLOWED_MB, f"{SMALL:,}: {small:.0f} MB, {LARGE:,}: {large:.0f} MB"
