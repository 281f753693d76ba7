"""Everything measured, as one table of ratios.

python -m benchmarks              sizes S and M: about ten minutes, two of them once for the data
python -m benchmarks --quick      size S only
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from benchmarks import (
    added_work,
    bulk_csv,
    comparing,
    csv_load,
    hubspot_pages,
    json_pages,
    one_kpi,
    postgres_sink,
    sales_pack,
    startup,
    twelve_kpis,
)
from benchmarks.measuring import HEAD, Line


def parts(*, is_quick: bool) -> Iterator[Callable[[], list[Line]]]:
    """The measurements, the short ones first."""
    yield lambda: startup.measure(15)
    yield lambda: one_kpi.measure("S", 5)
    yield lambda: csv_load.measure("S", 3)
    yield lambda: json_pages.measure(100_000, 3)
    yield lambda: hubspot_pages.measure(100_000, 3)
    yield lambda: bulk_csv.measure(100_000, 3)
    yield lambda: comparing.measure(sales_pack.CASE, "S", 5)
    yield lambda: comparing.measure(twelve_kpis.CASE, "S", 5)
    if not is_quick:
        yield lambda: postgres_sink.measure(1_000_000, 3)
        yield lambda: csv_load.measure("M", 2, grows=False)
        yield lambda: comparing.measure(sales_pack.CASE, "M", 3)
        yield lambda: comparing.measure(sales_pack.CASE, "M", 3, one_currency=True)
        yield lambda: comparing.measure(twelve_kpis.CASE, "M", 3)
        yield lambda: added_work.measure("M", 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="size S only")
    print(HEAD)
    for measure in parts(is_quick=parser.parse_args().quick):
        for line in measure():
            print(line, flush=True)


if __name__ == "__main__":
    main()
