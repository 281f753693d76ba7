"""Two hundred thousand records in the memory of twenty thousand."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from connectors.salesforce.sites import Site
from simulators.salesforce import SalesforceSimulator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc"),
]

SMALL, LARGE = 20_000, 200_000
ALLOWED_MB = 120
"""What DuckDB may hold of more rows in its buffers; the rows as objects would take three times as
much."""


def peak_mb(folder: Path, rows: int) -> float:
    with SalesforceSimulator() as salesforce:
        salesforce.bulk.polls_needed = 1
        for number in range(rows):
            salesforce.org.create(
                "Opportunity",
                Name='Ünïcode, "quoted"\nname',
                StageName="Proposal",
                Amount=number,
                CloseDate=date(2026, 3, 31),
                OwnerId=salesforce.org.user,
            )
        site = Site(folder, salesforce, only=("opportunities",))
        site.more = {"warehouse": {"memory_limit": "200MB", "threads": 2}}
        child = site.start_child()
        out, errors = child.communicate(timeout=300)
        assert "error: None" in out, out + errors
        assert site.rows("opportunities", "count(*)", "sum(amount)") == [
            (rows, rows * (rows - 1) // 2)
        ]
        assert salesforce.count("POST .*/jobs/query") == 1, "so many records come by bulk"
    return float(out.rpartition("peak_mb:")[2])


def test_ten_times_the_records_need_no_more_memory(tmp_path: Path) -> None:
    small = peak_mb(tmp_path / "small", SMALL)
    large = peak_mb(tmp_path / "large", LARGE)
    assert large - small < ALLOWED_MB, f"{SMALL:,}: {small:.0f} MB, {LARGE:,}: {large:.0f} MB"
