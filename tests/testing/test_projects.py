"""Tables become a project that answers, from files or straight from its warehouse."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from crmetrics.engine import Project
from crmetrics.errors import SourceError
from crmetrics.testing import load_tables, read_tables, write_project

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEALS = (
    "@opportunities\n"
    "id,source,close_date,is_closed,is_won,amount\n"
    "1,sf,2026-01-05,true,true,1000\n"
    "2,sf,2026-01-06,true,false,500\n"
    "2,hub,2026-01-06,true,true,300\n"
)


def value(folder: Path, kpi: str, period: str = "2026-01") -> float | None:
    project = Project(folder, environ={}, now=lambda: NOW)
    found: float | None = project.query([kpi], period=period)["value"][0].as_py()
    return found


def test_files_become_a_source_of_the_project(tmp_path: Path) -> None:
    tables = read_tables(DEALS.replace("2,hub", "3,hub"))
    write_project(tmp_path, tables, source="crm")
    assert value(tmp_path, "won_amount") == 1300


def test_settings_reporting_and_further_sections_reach_the_project(tmp_path: Path) -> None:
    write_project(
        tmp_path,
        read_tables(DEALS),
        settings={"min_sample": 5},
        reporting={"timezone": "Asia/Tokyo"},
        sections={"jobs": {"monthly": {"grain": "month", "kpis": ["win_rate"], "sinks": []}}},
    )
    config = Project(tmp_path, environ={}).config
    assert config.reporting.timezone == "Asia/Tokyo"
    assert config.metrics.settings["min_sample"] == 5
    assert set(config.jobs) == {"monthly"}


def test_rows_go_into_the_warehouse_as_one_source_or_as_their_own(tmp_path: Path) -> None:
    write_project(tmp_path / "own", {})
    reports = load_tables(tmp_path / "own", read_tables(DEALS), source=None)
    assert {(report.source, report.rows) for report in reports} == {("sf", 2), ("hub", 1)}
    assert value(tmp_path / "own", "won_amount") == 1300
    write_project(tmp_path / "one", {})
    (report,) = load_tables(tmp_path / "one", read_tables(DEALS))
    # The key is (source, id): from one source, the later copy of deal 2 is the one that counts.
    assert (report.source, report.rows) == ("test", 2)
    assert value(tmp_path / "one", "won_amount") == 1300
    assert value(tmp_path / "one", "win_rate") == 1


def test_loading_again_replaces_what_was_there(tmp_path: Path) -> None:
    write_project(tmp_path, {})
    load_tables(tmp_path, read_tables(DEALS))
    load_tables(tmp_path, read_tables("@opportunities\nid,close_date\n9,2026-01-05\n"))
    assert value(tmp_path, "won_amount") == 0


def test_a_table_without_rows_is_a_dataset_that_covers_nothing_unless_told(tmp_path: Path) -> None:
    empty = read_tables("", also=["opportunities"])
    for covers_from, expected in ((None, None), (date(2026, 1, 1), 0)):
        folder = tmp_path / str(covers_from)
        write_project(folder, {})
        load_tables(folder, empty, covers_from=covers_from)
        assert value(folder, "won_amount") == expected


@pytest.mark.parametrize(
    "table", [pa.table({"id": ["1"], "sgment": ["x"]}), pa.table({"segment": ["x"]})]
)
def test_what_the_engine_refuses_is_refused(tmp_path: Path, table: pa.Table) -> None:
    with pytest.raises(SourceError, match="accounts"):
        load_tables(tmp_path, {"accounts": table})
