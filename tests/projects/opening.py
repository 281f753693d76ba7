"""Opens real exports as projects: mapped by their project files alone, data beside the checkout."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project

PROJECTS = Path(__file__).resolve().parent
SHARED = PROJECTS.parent.parent.parent / "shared" / "data"
NOW = datetime(2026, 1, 1, tzinfo=UTC)

DATA = {
    "fivetran_seeds": ("SEEDS_DATA", "fivetran_seeds"),
    "maven_crm_sales": ("MAVEN_DATA", "maven_crm_sales"),
    "pwc_call_center": ("CALLS_DATA", "pwc_call_center"),
    "ravenstack_saas": ("RAVENSTACK_DATA", "ravenstack_saas"),
    "uci_bank_marketing": ("BANK_DATA", "uci_bank_marketing"),
    "uci_online_retail": ("RETAIL_DATA", "uci_online_retail"),
    "uci_online_retail_net": ("RETAIL_DATA", "uci_online_retail"),
    "x_education_leads": ("LEADS_DATA", "x_education_leads"),
    "x_education_leads_on_a_day": ("LEADS_DATA", "x_education_leads"),
}
"""Project -> the variable of its project file that names the folder of a data set, that folder."""


@dataclass
class Opened:
    """A loaded copy of a project with the report of its load."""

    project: Project
    report: Any

    def ask(self, *kpis: str, **asked: Any) -> list[dict[str, Any]]:
        """Result rows, each with its segment as a dict and `name` = `kpi` or `kpi.variant`."""
        rows: list[dict[str, Any]] = self.project.query(list(kpis), **asked).to_pylist()
        for row in rows:
            row["segment"] = dict(row["segment"])
            row["name"] = f"{row['kpi']}.{row['variant']}" if row["variant"] else row["kpi"]
        return rows


@dataclass
class Opener:
    """Opens projects, each once per set of variables."""

    directory: Callable[[str], Path]
    known: dict[tuple[str, tuple[tuple[str, str], ...]], Opened] = field(default_factory=dict)

    def __call__(self, name: str, environment: Mapping[str, str] | None = None) -> Opened:
        variable, data = DATA[name]
        if not (SHARED / data).is_dir():
            pytest.skip(f"needs the public data set {data} beside the checkout (../shared/data)")
        environment = {**(environment or {}), variable: str(SHARED / data)}
        key = (name, tuple(sorted(environment.items())))
        if key not in self.known:
            directory = self.directory(f"project{len(self.known)}") / name
            shutil.copytree(PROJECTS / name, directory)
            project = Project(directory, environ=environment, now=lambda: NOW)
            self.known[key] = Opened(project, project.sync())
        return self.known[key]
