"""Large files: bounded memory, and hardly slower than Arrow alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project

pytestmark = pytest.mark.slow

_HEADER = "id,account_id,stage,amount,probability,close_date,created_at,is_won\n"
_READ = """
import resource, sys
from pathlib import Path
from crmetrics.plugin import ConnectorContext
from crmetrics.testing.request import CollectingRequest
from crmetrics.datasets import canonical_datasets
from crmetrics_csv.connector import CsvConnector
from crmetrics_csv.options import CsvOptions

context = ConnectorContext("files", Path(sys.argv[1]), datasets=canonical_datasets())
connector = CsvConnector(CsvOptions(), context)
rows = sum(batch.num_rows for batch in connector.read(CollectingRequest("opportunities")))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def write(project: Project, rows: int, *, odd: bool = False) -> Path:
    """A file of that many opportunities; odd: with forms that Arrow does not read by itself."""
    block = "".join(
        f"0065g00000{n:08d},0015g{n % 977:08d},{'Won' if n % 3 else 'Negotiation, late'},"
        f"{n % 9973}.{n % 100:02d},{n % 101 / 100},2024-{n % 12 + 1:02d}-{n % 28 + 1:02d},"
        f"2024-{n % 12 + 1:02d}-{n % 28 + 1:02d} {n % 24:02d}:{n % 60:02d}:00,"
        f"{'true' if n % 2 else 'false'}\n".replace("Negotiation, late", '"Negotiation, late"')
        for n in range(20_000)
    )
    path = project.directory / "opportunities.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEADER)
        for _ in range(rows // 20_000):
            file.write(block)
        if odd:
            file.write("x,y,z,N/A,0.5,28/02/2024,2024-01-01 3:00,tRUE\nragged\n")
    return path


def peak_megabytes(project: Project, rows: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(project.directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    found, peak = (int(number) for number in done.stdout.split())
    assert found == rows
    return peak


@pytest.mark.parametrize("odd", [False, True], ids=["plain", "odd at the end"])
def test_memory_does_not_grow_with_the_file(project: Project, odd: bool) -> None:
    write(project, 200_000, odd=odd)
    small = peak_megabytes(project, 200_000 + odd)
    size = write(project, 2_200_000, odd=odd).stat().st_size
    large = peak_megabytes(project, 2_200_000 + odd)
    assert size > 190e6
    assert large < small + 60, f"{small} MB for the small file, {large} MB for the large one"
