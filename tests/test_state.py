"""The ledger: runs, versions of results, deliveries; against a real warehouse file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmetrics.errors import WarehouseError
from crmetrics.results import result_schema
from crmetrics.state import (
    RecordedResults,
    ReportedPeriod,
    create_ledger,
    finish_run,
    history,
    new_run_id,
    record_results,
    reported_periods,
    runs,
    start_run,
    versions,
)
from crmetrics.warehouse.connection import Connection, EngineSettings, connect
from result_rows import AS_OF, WEEK, kpi, table

DAY = timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings(tmp_path / "warehouse.duckdb", timezone="America/New_York", threads=1)


@pytest.fixture
def session(settings: EngineSettings) -> Iterator[Connection]:
    with connect(settings, read_only=False) as connection:
        create_ledger(connection)
        yield connection


def record(
    session: Connection, *rows: dict[str, Any], at: datetime = AS_OF, job: str = "weekly"
) -> RecordedResults:
    return record_results(session, table(*rows), job=job, run_id="run-1", at=at)


def current(session: Connection) -> list[tuple[Any, ...]]:
    return session.rows(
        "select kpi, segment, value, version from meta.results where valid_to is null order by all"
    )


# --- runs ------------------------------------------------------------------------------------


def begin(
    session: Connection, run_id: str, job: str, at: datetime, *, is_dated: bool = False
) -> None:
    start_run(session, run_id, job=job, period=WEEK, is_dated=is_dated, at=at, config_hash="c1")


def test_a_run_id_sorts_by_time() -> None:
    ids = [new_run_id(AS_OF + DAY * days) for days in range(3)]
    assert ids == sorted(ids)
    assert re.fullmatch(r"20260202T070000Z-[0-9a-f]{6}", ids[0])
    assert new_run_id(AS_OF) != ids[0]


def test_a_run_without_an_end_is_seen_as_such(session: Connection) -> None:
    begin(session, "a", "weekly", AS_OF)
    begin(session, "b", "weekly", AS_OF + DAY)
    finish_run(session, "b", at=AS_OF + DAY, as_of=AS_OF, exit_code=4, summary={"notes": ["ä"]})
    found = runs(session, job="weekly")
    assert found is not None
    assert found.select(["run_id", "as_of", "exit_code", "summary"]).to_pylist() == [
        {"run_id": "b", "as_of": AS_OF, "exit_code": 4, "summary": '{"notes": ["ä"]}'},
        {"run_id": "a", "as_of": None, "exit_code": None, "summary": None},
    ]


def test_runs_of_another_job_are_left_out(session: Connection) -> None:
    begin(session, "a", "daily", AS_OF)
    found = runs(session, job="weekly")
    assert found is not None
    assert found.num_rows == 0


def test_the_periods_of_runs_are_told_in_order_with_their_end(session: Connection) -> None:
    begin(session, "a", "weekly", AS_OF)
    begin(session, "b", "weekly", AS_OF + DAY, is_dated=True)
    finish_run(session, "b", at=AS_OF + DAY, as_of=AS_OF, exit_code=3, summary={})
    assert reported_periods(session, "weekly", grain="week") == [
        ReportedPeriod(WEEK.start, AS_OF, None, False),
        ReportedPeriod(WEEK.start, AS_OF + DAY, 3, True),
    ]
    assert reported_periods(session, "weekly", grain="month") == []


def test_a_ledger_of_an_older_version_gets_its_new_columns(session: Connection) -> None:
    session.execute("alter table meta.runs drop column period_start")
    session.execute("insert into meta.runs (run_id, job) values ('old', 'weekly')")
    assert reported_periods(session, "weekly", grain="week") == []
    create_ledger(session)
    begin(session, "a", "weekly", AS_OF)
    assert len(reported_periods(session, "weekly", grain="week")) == 1


# --- results ---------------------------------------------------------------------------------


def test_new_results_are_current_versions(session: Connection) -> None:
    done = record(session, kpi(), kpi(segment={"owner.team": 'E"ä'}, value=0.5))
    assert done == RecordedResults(added=2, changed=0, withdrawn=0, confirmed=0)
    assert current(session) == [
        ("win_rate", '{"owner.team": "E\\"ä"}', 0.5, 1),
        ("win_rate", "{}", 0.4, 1),
    ]


def test_every_column_of_the_results_is_kept(session: Connection) -> None:
    row = kpi(
        segment={"a": "1"}, coverage={"rows_used": 3.0}, flags=["low_sample"], n=3, numerator=1.2
    )
    record(session, row)
    [kept] = session.arrow("select * from meta.results").to_pylist()
    assert set(result_schema().names) <= set(kept)
    assert (kept["coverage"], kept["flags"], kept["n"], kept["numerator"]) == (
        '{"rows_used": 3.0}',
        '["low_sample"]',
        3,
        1.2,
    )
    assert (kept["period_start"], kept["as_of"]) == (WEEK.start, AS_OF)
    assert (kept["job"], kept["valid_from"], kept["valid_to"]) == ("weekly", AS_OF, None)


def test_a_run_that_confirms_everything_writes_nothing(session: Connection) -> None:
    record(session, kpi(), kpi("won_amount", None, status="no_data"))
    again = [kpi(run_id="run-2", computed_at=AS_OF + DAY, as_of=AS_OF + DAY)]
    again.append(kpi("won_amount", None, status="no_data", run_id="run-2"))
    assert record(session, *again, at=AS_OF + DAY) == RecordedResults(0, 0, 0, 2)
    assert session.scalar("select count(*) from meta.results") == 2


def test_a_changed_value_is_a_new_version_beside_the_old_one(session: Connection) -> None:
    record(session, kpi())
    done = record(session, kpi(value=0.41, run_id="run-2"), at=AS_OF + DAY)
    assert done == RecordedResults(added=0, changed=1, withdrawn=0, confirmed=0)
    found = versions(session, "win_rate")
    assert found is not None
    assert found.select(["value", "version", "run_id"]).to_pylist() == [
        {"value": 0.41, "version": 2, "run_id": "run-2"},
        {"value": 0.4, "version": 1, "run_id": "run-1"},
    ]
    assert found.column("valid_from").to_pylist() == [AS_OF + DAY, AS_OF]
    assert found.column("valid_to").to_pylist() == [None, AS_OF + DAY]


@pytest.mark.parametrize(
    "change",
    [
        {"value": None},
        {"status": "stale"},
        {"definition_hash": "f00"},
        {"flags": ["low_sample"]},
        {"coverage": {"rows_used": 1.0}},
        {"n": 7},
    ],
)
def test_any_other_finding_is_a_new_version(session: Connection, change: dict[str, Any]) -> None:
    record(session, kpi())
    assert record(session, kpi(**change), at=AS_OF + DAY).changed == 1


def test_a_value_that_appears_where_there_was_none_is_a_new_version(session: Connection) -> None:
    record(session, kpi(value=None))
    assert record(session, kpi(value=0.0)).changed == 1


def test_the_last_bit_of_a_float_makes_no_version(session: Connection) -> None:
    record(session, kpi(value=0.1 + 0.2))
    assert record(session, kpi(value=0.3)).confirmed == 1
    assert record(session, kpi(value=0.3 * (1 + 1e-9))).changed == 1


def test_a_group_that_is_gone_is_withdrawn_and_may_come_back(session: Connection) -> None:
    east, west = kpi(segment={"team": "East"}), kpi(segment={"team": "West"})
    other_week = kpi(segment={"team": "West"}, period_start=date(2026, 1, 19))
    record(session, east, west, other_week)
    done = record(session, east, at=AS_OF + DAY)
    assert done == RecordedResults(added=0, changed=0, withdrawn=1, confirmed=1)
    assert len(current(session)) == 2  # the other week is untouched
    assert record(session, east, west, at=AS_OF + 2 * DAY).added == 1
    assert ("win_rate", '{"team": "West"}', 0.4, 2) in current(session)


def test_jobs_keep_their_results_apart(session: Connection) -> None:
    record(session, kpi(value=0.4))
    assert record(session, kpi(value=0.9), job="smb_only").added == 1
    assert len(current(session)) == 2


def test_a_null_variant_is_the_default_one(session: Connection) -> None:
    record(session, kpi(variant=None))
    assert record(session, kpi(variant="")).confirmed == 1


def test_two_rows_of_one_key_are_refused_and_nothing_is_kept(session: Connection) -> None:
    with pytest.raises(WarehouseError, match=r"two rows for job weekly, kpi win_rate"):
        record(session, kpi("won_amount"), kpi(), kpi(value=0.9))
    assert current(session) == []
    assert record(session, kpi()).added == 1  # the session is still good


def test_no_results_change_nothing(session: Connection) -> None:
    record(session, kpi())
    assert record(session) == RecordedResults(0, 0, 0, 0)
    assert len(current(session)) == 1


def test_many_groups_are_recorded_at_once(session: Connection) -> None:
    rows = [kpi(segment={"owner.team": f"团队 {index}"}) for index in range(20_000)]
    assert record(session, *rows).added == 20_000
    assert record(session, *rows[1:]).withdrawn == 1


# --- history ---------------------------------------------------------------------------------


def weeks(*values: float | None, **columns: Any) -> list[dict[str, Any]]:
    """One row per week, ending with the reported one."""
    first = WEEK.start - timedelta(weeks=len(values) - 1)
    return [
        kpi(
            value=value,
            period_start=first + timedelta(weeks=index),
            period_end=first + timedelta(weeks=index + 1),
            **columns,
        )
        for index, value in enumerate(values)
    ]


def test_history_is_the_current_values_oldest_first(session: Connection) -> None:
    record(session, *weeks(0.1, None, 0.3))
    record(session, *weeks(0.2, None, 0.3), at=AS_OF + DAY)
    assert history(session, "win_rate", job="weekly", grain="week") == [
        (date(2026, 1, 12), 0.2),
        (date(2026, 1, 19), None),
        (date(2026, 1, 26), 0.3),
    ]


def test_history_ends_before_a_day_and_has_a_length(session: Connection) -> None:
    record(session, *weeks(0.1, 0.2, 0.3, 0.4))
    found = history(session, "win_rate", job="weekly", grain="week", before=WEEK.start, limit=2)
    assert [value for _, value in found] == [0.2, 0.3]


def test_history_leaves_out_what_is_not_final_or_of_another_kind(session: Connection) -> None:
    record(session, *weeks(0.1, 0.2, 0.3), kpi(value=9.0, segment={"team": "E"}))
    record(session, kpi(value=9.0, status="partial", period_start=date(2026, 3, 2)))
    record(session, kpi(value=9.0, flags=["maturing"], period_start=date(2026, 3, 9)))
    record(session, kpi(value=9.0, variant="by_amount"))
    record(session, kpi(value=9.0, grain="month", period_start=date(2026, 1, 1)))
    record(session, kpi(value=9.0), job="another")
    found = history(session, "win_rate", job="weekly", grain="week")
    assert [value for _, value in found] == [0.1, 0.2, 0.3]


def test_history_of_a_group(session: Connection) -> None:
    record(session, *weeks(0.1, 0.2, segment={"b": "2", "a": "1"}))
    found = history(session, "win_rate", job="weekly", grain="week", segment={"a": "1", "b": "2"})
    assert [value for _, value in found] == [0.1, 0.2]


def test_a_warehouse_without_ledger_has_no_history(settings: EngineSettings) -> None:
    with connect(settings, read_only=False) as fresh:
        fresh.execute("create table t (a int)")
    with connect(settings, read_only=True) as reader:
        assert history(reader, "win_rate", job="weekly", grain="week") == []
        assert versions(reader, "win_rate") is None
        assert runs(reader) is None


def test_the_ledger_reads_on_a_read_only_session(settings: EngineSettings) -> None:
    with connect(settings, read_only=False) as writer:
        create_ledger(writer)
        record(writer, kpi())
    with connect(settings, read_only=True) as reader:
        assert history(reader, "win_rate", job="weekly", grain="week") == [(WEEK.start, 0.4)]


# --- tables of an older version --------------------------------------------------------------


def test_making_the_ledger_again_keeps_everything(session: Connection) -> None:
    record(session, kpi())
    create_ledger(session)
    assert len(current(session)) == 1


def test_columns_that_an_older_ledger_lacks_are_added(session: Connection) -> None:
    record(session, kpi())
    session.execute("alter table meta.results drop column year_ago_value")
    create_ledger(session)
    assert record(session, kpi(year_ago_value=0.3), at=AS_OF + DAY).changed == 1
