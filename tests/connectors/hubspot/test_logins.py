"""HubSpot forgets logins after 90 days; the warehouse does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from crmetrics.warehouse.intake import LoadReport
from simulators.hubspot import HubSpotSimulator, Owner
from simulators.hubspot.records import iso

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = ("user_id", "activity_type", "occurred_at")


def log_in(service: HubSpotSimulator, name: str, at: datetime) -> None:
    login = {"id": name, "userId": 70, "loginAt": iso(at), "loginSucceeded": True}
    service.account.logins.append(login)


def load(
    folder: Path,
    service: HubSpotSimulator,
    columns: tuple[str, ...] = COLUMNS,
    *,
    full: bool = False,
    mapping: Mapping[str, str] | None = None,
) -> LoadReport:
    """Sync now."""
    source = {
        "connector": "hubspot",
        "base_url": service.base_url,
        "auth": {"token": service.token},
        "datasets": {"user_activity": {"columns": dict(mapping or {})}},
    }
    document = {"version": 1, "project": "p", "sources": {"hs": source}}
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    project = Project(folder, environ={}, now=service.clock)
    report = sync(project, (), needs={"user_activity": columns}, full=full)
    assert report.error is None and not report.failures
    return report.reports[0]


def held(folder: Path, column: str = "id") -> list[str]:
    path = str(folder / ".crmetrics" / "warehouse.duckdb")
    query = f"select {column} from crm.user_activity where not is_deleted order by occurred_at"
    with duckdb.connect(path, read_only=True) as base:
        return [row[0] for row in base.execute(query).fetchall()]


def synced(
    folder: Path,
    service: HubSpotSimulator,
    columns: tuple[str, ...] = COLUMNS,
    *,
    full: bool = False,
) -> list[str]:
    """Sync now; the ids of the logins that are there afterwards."""
    load(folder, service, columns, full=full)
    return held(folder)


def test_logins_that_hubspot_has_forgotten_are_kept(
    unlimited: HubSpotSimulator, tmp_path: Path
) -> None:
    unlimited.account.owners["7"] = Owner("7", 70)
    unlimited.clock.now = NOW
    log_in(unlimited, "a", NOW - 80 * DAY)
    log_in(unlimited, "b", NOW - 2 * DAY)
    assert synced(tmp_path, unlimited) == ["login-a", "login-b"]
    log_in(unlimited, "c", NOW + 30 * DAY)
    unlimited.clock.now = NOW + 31 * DAY
    assert synced(tmp_path, unlimited) == ["login-a", "login-b", "login-c"]
    unlimited.clock.now = NOW + 119 * DAY
    log_in(unlimited, "d", NOW + 118 * DAY)
    four = ["login-a", "login-b", "login-c", "login-d"]
    assert synced(tmp_path, unlimited) == four
    # Nor are they lost when all is read anew, or when another column is.
    assert synced(tmp_path, unlimited, full=True) == four
    assert synced(tmp_path, unlimited, (*COLUMNS, "is_success")) == four


def test_logins_that_hubspot_has_forgotten_stay_by_the_former_rules_and_that_is_told(
    unlimited: HubSpotSimulator, tmp_path: Path
) -> None:
    unlimited.account.owners["7"] = Owner("7", 70)
    unlimited.clock.now = NOW
    log_in(unlimited, "a", NOW - 80 * DAY)
    log_in(unlimited, "b", NOW - 2 * DAY)
    load(tmp_path, unlimited)
    unlimited.clock.now = NOW + 31 * DAY
    unlimited.account.logins[:1] = []  # HubSpot keeps 90 days
    mapping = {"activity_type": "upper(activity_type)"}
    told = [n for n in load(tmp_path, unlimited, mapping=mapping).notices if "rules of" in n]
    assert told == [
        "the rules of user_activity have changed (its `columns:`, or options of the source): 1 "
        "records that the source gives no more stay as the former rules made them."
    ]
    assert held(tmp_path, "activity_type") == ["login", "LOGIN"]
    again = load(tmp_path, unlimited, mapping=mapping).notices
    assert not [notice for notice in again if "rules of" in notice]
    assert held(tmp_path, "activity_type") == ["login", "LOGIN"]


def test_where_all_comes_again_changed_rules_leave_nothing_to_tell(
    unlimited: HubSpotSimulator, tmp_path: Path
) -> None:
    unlimited.account.owners["7"] = Owner("7", 70)
    unlimited.clock.now = NOW
    log_in(unlimited, "b", NOW - 2 * DAY)
    load(tmp_path, unlimited)
    unlimited.clock.now = NOW + DAY
    mapping = {"activity_type": "upper(activity_type)"}
    notices = load(tmp_path, unlimited, mapping=mapping).notices
    assert not [notice for notice in notices if "rules of" in notice]
    assert held(tmp_path, "activity_type") == ["LOGIN"]
