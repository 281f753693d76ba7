"""The generated CRM delivered in other ways that must not change a number.

Records are lists of rows per dataset (`SampleCrm.records`); every function gives new lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from crmetrics.datasets import canonical_datasets
from crmetrics.engine import Project
from crmetrics.testing.data.company import Row
from crmetrics.testing.data.tables import to_table, write_csv

DATASETS = canonical_datasets()
PACKS = ("sales", "leads", "retention", "revenue", "marketing", "service", "adoption", "roi")
NOW = datetime(2026, 1, 11, tzinfo=UTC)

Records = Mapping[str, Sequence[Row]]
Delivery = Callable[[Records, Random], Records]

CHILDREN: Mapping[str, Sequence[tuple[str, str]]] = {
    "opportunities": (
        ("opportunity_stage_history", "opportunity_id"),
        ("opportunity_items", "opportunity_id"),
    ),
    "orders": (("order_items", "order_id"),),
    "cases": (("case_status_history", "case_id"), ("case_messages", "case_id")),
    "accounts": (("subscriptions", "account_id"), ("orders", "account_id")),
}
"""Parents and the children that leave with them (E7 of the KPI catalogue)."""


# --- ways of delivering ---------------------------------------------------------------------------


def in_any_order(records: Records, random: Random) -> Records:
    return {name: random.sample(list(rows), len(rows)) for name, rows in records.items()}


def delivered_again(records: Records, random: Random) -> Records:
    """A quarter of the rows once more as they are, and older copies that said something else."""
    found = {}
    for name, rows in records.items():
        copies = [dict(row) for row in rows if random.random() < 0.25]
        older = [
            _former(name, row, random)
            for row in rows
            if row.get("updated_at") is not None and random.random() < 0.25
        ]
        found[name] = random.sample([*rows, *copies, *older], len(rows) + len(copies) + len(older))
    return found


def with_the_dead(records: Records, random: Random) -> Records:
    """Deleted and test records beside the others, with children of their own that are alive."""
    found = {name: list(rows) for name, rows in records.items()}
    for name, rows in records.items():
        if "is_deleted" not in DATASETS[name]:
            continue
        for number, row in enumerate(rows):
            if random.random() < 0.2:
                _bury(found, records, name, row, f"dead-{number}", random)
    return in_any_order(found, random)


def _bury(
    found: dict[str, list[Row]], records: Records, name: str, row: Row, new_id: str, random: Random
) -> None:
    mark = random.choice(["is_deleted", "is_test"])
    dead = {**row, "id": new_id, mark: True}
    if "merged_into_id" in DATASETS[name]:
        dead["merged_into_id"] = None
    found[name].append(dead)
    for child, key in CHILDREN.get(name, ()):
        for number, one in enumerate(records[child]):
            if one.get(key) == row["id"] and random.random() < 0.5:
                found[child].append({**one, "id": f"{new_id}-of-{name}-{number}", key: new_id})


def _former(name: str, row: Row, random: Random) -> Row:
    """What a row said a day earlier: another amount, flag or day in every column that has one."""
    dataset = DATASETS[name]
    fixed = {"source", "updated_at", "is_deleted", "is_test", "merged_into_id", *dataset.key}
    older = {**row, "updated_at": row["updated_at"] - timedelta(days=1)}
    for column in dataset.columns:
        value = older.get(column.name)
        if column.name in fixed or column.references or value is None:
            continue
        if isinstance(value, bool):
            older[column.name] = not value
        elif isinstance(value, int | float | Decimal):
            older[column.name] = value * 3 + 1
        elif isinstance(value, date):
            older[column.name] = value - timedelta(days=random.randint(1, 60))
    return older


# --- projects -------------------------------------------------------------------------------------


def deliver(
    folder: Path, records: Records, *, files: int = 1, owners: Mapping[str, str] | None = None
) -> Project:
    """A project that reads the records from CSV, each dataset cut into so many files, loaded.

    owners: the source of each dataset; one source for all unless given.
    """
    sources: dict[str, dict[str, Any]] = {}
    for name, rows in records.items():
        source = (owners or {}).get(name, "crm")
        for part in range(files):
            table = to_table(DATASETS[name], rows[part::files])
            write_csv({name: table}, folder / source / f"part{part}")
        given = sources.setdefault(source, {"connector": "csv", "path": source, "datasets": {}})
        given["datasets"][name] = {"file": f"part*/{name}.csv"}
    document = {
        "version": 1,
        "project": "reshaped",
        "reporting": {"timezone": "America/New_York", "currency": "USD"},
        "sources": sources,
        "metrics": {"packs": list(PACKS)},
    }
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    project = Project(folder, environ={}, now=lambda: NOW)
    for loaded in project.sync().reports:
        assert loaded.fetched == loaded.landed + loaded.rejected + loaded.duplicates
        assert not loaded.rejected
    return project


Key = tuple[str, date, tuple[tuple[str, str], ...]]


def answers(
    project: Project, kpis: Mapping[tuple[str, ...], Sequence[str]], **asked: Any
) -> dict[Key, dict[str, Any]]:
    """Dimensions -> KPIs, each asked in total and by each of the dimensions: the rows by what they
    are of."""
    found: dict[Key, dict[str, Any]] = {}
    for dimensions, names in kpis.items():
        by = [[dimension] for dimension in dimensions]
        for row in project.query(list(names), by=by, totals=True, **asked).to_pylist():
            name = f"{row['kpi']}.{row['variant']}" if row["variant"] else row["kpi"]
            key = (name, row["period_start"], tuple(row["segment"]))
            assert key not in found, f"twice: {key}"
            found[key] = {**row, "coverage": dict(row["coverage"])}
    return found
