"""`hour`, `weekday` and `event_at`: what every fact that is dated by an instant has (rule S9)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.engine import Project
from crmetrics.errors import ConfigError
from crmetrics.testing.examples import read_example
from crmetrics.testing.projects import load_tables, write_project

COUNT = "title: A count, unit: count, better: none, value: count(*)"
DEFINITIONS = f"""kpis:
  created: {{{COUNT}, from: opportunities, time: created_at}}
  closed: {{{COUNT}, from: opportunities, time: close_date}}
  shifts: {{{COUNT}, from: shift_logs, time: occurred_at}}
"""
SHIFTS = "select *, 'night' as hour from live_activities\n"
ROWS = """@opportunities
id,created_at,close_date
1,2026-01-05T22:30:00Z,2026-01-07
2,2026-01-05T23:30:00Z,2026-01-07
@activities
id,occurred_at
1,2026-01-05T22:30:00Z
"""


def groups(folder: Path, kpi: str, by: str) -> dict[str, Any]:
    write_project(folder, {}, packs=(), reporting={"timezone": "Europe/Berlin"})
    (folder / "metrics" / "sql").mkdir(parents=True)
    (folder / "metrics" / "own.yaml").write_text(DEFINITIONS, encoding="utf-8")
    (folder / "metrics" / "sql" / "shift_logs.sql").write_text(SHIFTS, encoding="utf-8")
    load_tables(folder, read_example(ROWS).tables)
    project = Project(folder, environ={}, now=lambda: datetime(2026, 6, 1, tzinfo=UTC))
    rows = project.query([kpi], start=date(2026, 1, 1), end=date(2026, 2, 1), by=[by]).to_pylist()
    return {dict(row["segment"])[by]: row["value"] for row in rows}


def test_hour_and_weekday_are_read_in_the_reporting_zone(tmp_path: Path) -> None:
    assert groups(tmp_path / "a", "created", "hour") == {"23": 1, "0": 1}
    assert groups(tmp_path / "b", "created", "weekday") == {"monday": 1, "tuesday": 1}


def test_a_date_has_a_weekday_but_no_hour(tmp_path: Path) -> None:
    assert groups(tmp_path / "a", "closed", "weekday") == {"wednesday": 2}
    with pytest.raises(ConfigError, match="closed: only facts dated by an instant have event_at"):
        groups(tmp_path / "b", "closed", "hour")


def test_a_column_of_that_name_goes_first(tmp_path: Path) -> None:
    assert groups(tmp_path, "shifts", "hour") == {"night": 1}
