"""A project folder whose source is the simulated Salesforce, for the scenario tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import yaml

from crmetrics.engine import Project
from crmetrics.engine.loading import SyncReport, sync
from crmetrics.warehouse.intake import LoadReport
from simulators.salesforce import SalesforceSimulator

_PLUGIN = '''"""The connector `salesforce` that does not wait: its pauses are only written down."""

from crmetrics.plugin import hookimpl
from crmetrics_salesforce.connector import SalesforceConnector

PAUSES = []


class HastySalesforce(SalesforceConnector):
    name = "hasty_salesforce"
    sleep = staticmethod(PAUSES.append)


@hookimpl
def crmetrics_connectors():
    return [HastySalesforce]
'''
_CHILD = r"""
import re, sys
from datetime import datetime
from pathlib import Path
from crmetrics.engine import Project
from crmetrics.engine.loading import sync
directory, now, only = sys.argv[1], datetime.fromisoformat(sys.argv[2]), sys.argv[3:]
project = Project(directory, now=lambda: now)
needs = {name: project.registry.datasets[name].column_names for name in only}
report = sync(project, (), needs=needs)
print("error:", report.error)
# Not ru_maxrss, which begins with the size of the process that started this one.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print("peak_mb:", int(peak[1]) / 1024)
"""


@dataclass
class Site:
    """A project over one org.

    source: further keys of the source `sf`. datasets: its section `datasets`. sources: further
    sources. more: further sections. has_salesforce: False leaves the org out. only: what is read.
    """

    directory: Path
    salesforce: SalesforceSimulator
    source: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    packs: Sequence[str] = ("sales",)
    more: dict[str, Any] = field(default_factory=dict)
    has_salesforce: bool = True
    only: Sequence[str] = ("accounts",)

    @property
    def environ(self) -> Mapping[str, str]:
        return {"SF_CLIENT_SECRET": self.salesforce.login.app.client_secret}

    def write(self) -> None:
        source: dict[str, Any] = {
            "connector": "hasty_salesforce",
            "domain": "acme.my.salesforce.com",
            "base_url": self.salesforce.base_url,
            "auth": {
                "flow": "client_credentials",
                "client_id": self.salesforce.login.app.client_id,
                "client_secret": "${SF_CLIENT_SECRET}",
            },
            **self.source,
        }
        if self.datasets:
            source["datasets"] = self.datasets
        content = {
            "version": 1,
            "project": "acme",
            "reporting": {"timezone": "UTC", "currency": "USD"},
            "sources": {**({"sf": source} if self.has_salesforce else {}), **self.sources},
            "metrics": {"packs": list(self.packs)},
            **self.more,
        }
        plugin = self.directory / "plugins" / "hasty.py"
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.write_text(_PLUGIN)
        (self.directory / "crmetrics.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    @property
    def project(self) -> Project:
        self.write()
        return Project(self.directory, environ=self.environ, now=self.salesforce.clock)

    # --- doing -------------------------------------------------------------------------------

    def sync(self, *, full: bool = False) -> SyncReport:
        """One sync; the clock of the org moves on by a minute before it."""
        self.salesforce.clock.advance(60)
        project = self.project
        needs = {name: project.registry.datasets[name].column_names for name in self.only}
        return sync(project, (), full=full, needs=needs)

    def synced(self, *, full: bool = False) -> SyncReport:
        """A sync in which nothing fails but what the org lacks."""
        report = self.sync(full=full)
        assert report.error is None, report.error
        return report

    def later(self, **span: float) -> None:
        self.salesforce.clock.advance(timedelta(**span).total_seconds())

    def start_child(self) -> subprocess.Popen[str]:
        """A sync in a process of its own."""
        self.write()
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                _CHILD,
                str(self.directory),
                self.salesforce.clock().isoformat(),
                *self.only,
            ],
            env={**os.environ, **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # --- looking -----------------------------------------------------------------------------

    def rows(self, dataset: str, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of all rows of the warehouse, deleted ones included, sorted."""
        path = self.directory / ".crmetrics" / "warehouse.duckdb"
        shown = ", ".join(columns)
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(f"select {shown} from crm.{dataset} order by all").fetchall()

    def ids(self, dataset: str) -> list[str]:
        """Ids of the rows that are not deleted."""
        found = self.rows(dataset, "id", "is_deleted")
        return [row[0] for row in found if not row[1]]


def load_of(report: SyncReport, dataset: str, source: str = "sf") -> LoadReport:
    """What was loaded of one dataset."""
    [found] = [r for r in report.reports if (r.source, r.dataset) == (source, dataset)]
    return found


def on(*parts: int) -> datetime:
    year, month, day, *rest = parts
    return datetime(year, month, day, *rest, tzinfo=UTC)  # type: ignore[misc,arg-type]


def secrets_of(salesforce: SalesforceSimulator) -> list[str]:
    """What must show nowhere: the app's secret, refresh tokens, every access token."""
    app = salesforce.login.app
    return [app.client_secret, *app.refresh_tokens, *salesforce.tokens.live]
