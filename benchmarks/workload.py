"""A seeded CRM of any size, made by DuckDB: files for the CSV connector, or a loaded warehouse.

    python -m benchmarks.workload M              Parquet files and warehouse of size M
    python -m benchmarks.workload S --csv        CSV files as well

Seventeen datasets, about 15.8 rows per opportunity, five years up to `EXPORTED_AT`. Each dataset is
one query in `datasets/`; what several of them share is in `_draws.sql`. Everything is cached under
`.data/` and made anew when a query or this module changes.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
QUERIES = HERE / "datasets"
CACHE = HERE / ".data"
SIZES: Mapping[str, int] = {"XS": 10_000, "S": 100_000, "M": 1_000_000, "L": 10_000_000}
EXPORTED_AT = datetime(2025, 12, 15, 12, tzinfo=UTC)
"""Noon of a day inside a month, so that the last period is an incomplete one."""

_HISTORY_DAYS = 1810  # from 2021-01-01 to the day of EXPORTED_AT, included
_SEED = 20_251_215
_SOURCE = "crm"
_LISTS: Mapping[str, list[str]] = {
    "lead_sources": [
        "web",
        "referral",
        "event",
        "email",
        "partner",
        "search",
        "outbound",
        "social",
    ],
    "open_stages": ["Discovery", "Qualification", "Proposal", "Negotiation"],
    "currencies": [*["USD"] * 16, "EUR", "EUR", "EUR", "GBP"],
}


@dataclass(frozen=True)
class Workload:
    """One generated CRM. one_currency: every amount in US dollars, and no exchange rates."""

    size: str
    one_currency: bool = False

    @property
    def opportunities(self) -> int:
        return SIZES[self.size]

    @property
    def folder(self) -> Path:
        return CACHE / (self.size + ("-usd" if self.one_currency else ""))

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.duckdb"

    def files(self, extension: str = "parquet") -> Path:
        """The folder with one file per dataset."""
        return self.folder / extension

    @property
    def datasets(self) -> list[str]:
        return [path.stem for path in sorted(QUERIES.glob("[a-z]*.sql"))]

    # --- making ----------------------------------------------------------------------------------

    def make(self, *, csv: bool = False, warehouse: bool = True) -> Workload:
        """Make what is not there yet, or not of this version. One process makes, others wait."""
        from filelock import FileLock

        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder.with_suffix(".lock")):
            self._make(csv=csv, warehouse=warehouse)
        return self

    def _make(self, *, csv: bool, warehouse: bool) -> None:
        stamp = self.folder / "version"
        version = _version()
        if not stamp.exists() or stamp.read_text() != version:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._write_parquet()
            stamp.write_text(version)
        if csv and not self.files("csv").exists():
            self._write_csv()
        if warehouse and not self.warehouse.exists():
            self._load()

    def _write_parquet(self) -> None:
        import duckdb

        target = self.files()
        target.mkdir(parents=True)
        scratch = self.folder / "scratch.duckdb"
        with duckdb.connect(str(scratch)) as con:
            con.execute("set enable_progress_bar = false; set timezone = 'UTC'")
            for name, value in self._variables().items():
                con.execute(f"set variable {name} = $value", {"value": value})
            con.execute((QUERIES / "_draws.sql").read_text())
            for name in self.datasets:
                query = (QUERIES / f"{name}.sql").read_text()
                con.execute(f"copy ({query}) to '{target / name}.parquet' (compression zstd)")
        scratch.unlink()

    def _variables(self) -> Mapping[str, Any]:
        deals = self.opportunities
        owners = max(50, deals // 2000)
        return {
            "seed": _SEED,
            "opportunities": deals,
            "owners": owners,
            "accounts": deals * 3 // 10,
            "contacts": deals * 7 // 10,
            "leads": deals * 16 // 10,
            "activities": deals * 39 // 10,
            "cases": deals * 13 // 10,
            "surveys": deals * 6 // 10,
            "contracts": deals // 4,
            "history_days": _HISTORY_DAYS,
            "exported_at": EXPORTED_AT,
            "one_currency": self.one_currency,
            "monthly_sales": 0.29 * deals / owners / 60 * 11_000,
            **_LISTS,
        }

    def _write_csv(self) -> None:
        import duckdb

        making = self.folder / "csv.part"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        with duckdb.connect() as con:
            con.execute("set enable_progress_bar = false; set timezone = 'UTC'")
            for name in self.datasets:
                con.execute(
                    f"copy (from '{self.files() / name}.parquet') to '{making / name}.csv'"
                    " (header, timestampformat '%Y-%m-%dT%H:%M:%S.%fZ')"
                )
        making.rename(self.files("csv"))

    def _load(self) -> None:
        """The warehouse, through the product's own loader, so that its counts are right."""
        import pyarrow.parquet as pq

        from crmetrics.datasets import canonical_datasets
        from crmetrics.warehouse.connection import EngineSettings
        from crmetrics.warehouse.intake import Intake
        from crmetrics.warehouse.load import open_for_load

        datasets = canonical_datasets()
        making = self.folder / "warehouse.part"
        making.unlink(missing_ok=True)
        with open_for_load(EngineSettings(path=making), datasets) as session:
            for name in self.datasets:
                file = pq.ParquetFile(self.files() / f"{name}.parquet")
                columns = tuple(file.schema_arrow.names)
                report = session.load(
                    name, _SOURCE, _batches(file), Intake(columns=columns, started=EXPORTED_AT)
                )
                assert report.rows == file.metadata.num_rows, report
        making.rename(self.warehouse)


def _batches(file: Any) -> Iterator[Any]:
    yield from file.iter_batches(100_000)


def _version() -> str:
    """Changes when other rows would come out."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(QUERIES.glob("*.sql")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--one-currency", action="store_true", help="US dollars only, no rates")
    parser.add_argument("--csv", action="store_true", help="CSV files as well")
    parser.add_argument("--no-warehouse", action="store_true", help="files only")
    asked = parser.parse_args()
    workload = Workload(asked.size, asked.one_currency)
    workload.make(csv=asked.csv, warehouse=not asked.no_warehouse)
    print(workload.folder)


if __name__ == "__main__":
    main()
