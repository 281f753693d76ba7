"""The sink `database` on Snowflake: the real driver against fakesnow, and its SQL against DuckDB.

With CRMETRICS_TEST_FAKESNOW set, all tests of test_database.py run on it as well.
"""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from pydantic import ValidationError

from crmetrics.plugin import Secret, SinkContext, SinkError
from crmetrics_database.address import parse_url
from crmetrics_database.sink import DatabaseOptions, DatabaseSink
from crmetrics_database.statements import UPKEEP, create_table, kinds, merge
from result_rows import delivery, kpi, table
from simulators.snowflake import SnowflakeServer

schemas = itertools.count(1)


class ImpatientSink(DatabaseSink):
    """The sink; its pauses are noted, not waited for."""

    pauses: tuple[float, ...] = ()

    def pause(self, seconds: float) -> bool:
        self.pauses = (*self.pauses, seconds)
        return True


class Place:
    """A schema of its own, its sink, and a second way to look inside."""

    def __init__(self, server: SnowflakeServer) -> None:
        self.url = server.url("acme", f"p{next(schemas)}")

    def sink(self, **options: Any) -> ImpatientSink:
        config = DatabaseOptions(**{"url": Secret(self.url), "table": "kpis", **options})
        return ImpatientSink(config, SinkContext("history", Path()))

    def write(self, *rows: dict[str, Any], **options: Any) -> dict[str, int]:
        return dict(self.sink(**options).write(delivery(table(*rows))).details)

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        import adbc_driver_snowflake.dbapi as driver

        address = self.url.partition("://")[2]
        with driver.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]


@pytest.fixture
def place(snowflake: SnowflakeServer) -> Place:
    return Place(snowflake)


def east(**columns: Any) -> dict[str, Any]:
    return kpi(segment={"owner.team": "East"}, **columns)


EARLIER = {"period_start": date(2026, 1, 19), "period_end": date(2026, 1, 26)}


def test_rows_are_made_restated_and_removed_by_their_key(place: Place) -> None:
    assert place.write(kpi(value=0.1, n=7), east(value=0.2), kpi(value=0.3, **EARLIER)) == {
        "inserted": 3,
        "updated": 0,
        "removed": 0,
    }
    assert place.write(kpi(value=1 / 3, n=7)) == {"inserted": 0, "updated": 1, "removed": 1}
    columns = "segment, value, n, period_start, as_of"
    as_of = datetime(2026, 2, 2, 7, tzinfo=UTC)
    assert place.run(f"select {columns} from kpis order by period_start") == [
        ("{}", 0.3, None, date(2026, 1, 19), as_of),
        ("{}", 1 / 3, 7, date(2026, 1, 26), as_of),
    ]
    types = place.run(
        "select column_name, data_type from information_schema.columns "
        "where table_name = 'KPIS' and table_schema = current_schema()"
    )
    assert {
        ("PERIOD_START", "DATE"),
        ("AS_OF", "TIMESTAMP_TZ"),
        ("VALUE", "FLOAT"),
        ("N", "NUMBER"),
        ("SEGMENT", "TEXT"),
    } <= set(types)
    assert place.run("select count(*) from information_schema.tables where table_name <> 'KPIS' "
                     "and table_schema = current_schema()") == [(0,)]  # fmt: skip


def test_append_keeps_every_run_and_replace_only_the_last(place: Place) -> None:
    for run_id, value in (("run-1", 0.4), ("run-2", 0.5), ("run-2", 0.6)):
        place.write(kpi(value=value, run_id=run_id), mode="append", table="runs")
    assert place.run("select run_id, value from runs order by 1") == [
        ("run-1", 0.4),
        ("run-2", 0.6),
    ]
    place.write(kpi(**EARLIER), east(**EARLIER), mode="replace", table="last")
    place.write(kpi(value=0.7), mode="replace", table="last")
    assert place.run("select value from last") == [(0.7,)]


def test_missing_columns_are_added_and_foreign_ones_left_alone(place: Place) -> None:
    place.run("create table kpis (kpi text, period_start date, value float, remark text)")
    place.run("insert into kpis values ('old', '2026-01-26', 0.1, 'checked by Ann')")
    assert place.write(kpi("日本 🎉 'x'; --", 0.4))["inserted"] == 1
    found = place.run("select kpi, job, segment, value, remark from kpis order by value")
    assert found == [
        ("old", "", "{}", 0.1, "checked by Ann"),
        ("日本 🎉 'x'; --", "weekly_sales", "{}", 0.4, None),
    ]


def test_a_table_of_something_else_or_of_other_types_is_refused(place: Place) -> None:
    place.run("create table kpis (kpi text, period_start date, value number(38, 0))")
    with pytest.raises(SinkError, match=r"column 'value' is NUMBER, expected FLOAT"):
        place.write(kpi())
    place.run("create table other (id number)")
    [result] = place.sink(table="other").check()
    assert (result.state, "no column kpi or period_start" in result.message) == ("error", True)


def test_rows_that_another_program_doubled_are_told(place: Place) -> None:
    place.write(kpi())
    place.run("create table twice as select * from kpis union all select * from kpis")
    with pytest.raises(SinkError, match="the table holds 2 rows") as caught:
        place.write(kpi(), table="twice")
    assert "The rows of this run are there." in str(caught.value)


def test_a_server_that_is_away_is_an_error_without_the_password() -> None:
    url = "snowflake://ann:hunter2hunter2@127.0.0.1:1/acme/s?account=acme&protocol=http&token=t0k"
    config = DatabaseOptions(url=Secret(f"{url}en-secret&loginTimeout=1"))
    sink = ImpatientSink(config, SinkContext("history", Path()))
    with pytest.raises(SinkError, match="Nothing was changed") as caught:
        sink.write(delivery())
    shown = str(caught.value) + repr(config) + sink.preview(delivery())
    assert sink.pauses == (1.0, 4.0)
    assert "hunter2" not in shown
    assert "t0ken-secret" not in shown
    assert parse_url(url).shown == "snowflake 127.0.0.1:1/acme/s"


def test_a_url_without_a_schema_is_told() -> None:
    url = Secret("snowflake://ann:hunter2hunter2@acme-prod/ANALYTICS?warehouse=XS")
    with pytest.raises(ValidationError, match="the url names no schema") as caught:
        DatabaseOptions(url=url)
    assert "hunter2" not in str(caught.value)
    assert DatabaseOptions(url=url, table="reporting.kpis").table_name.schema == "reporting"


# --- the statement itself, which needs no server ----------------------------------------------


def merged(kept: list[dict[str, Any]], incoming: list[dict[str, Any]], mode: Any) -> set[Any]:
    """What DuckDB makes of the MERGE; its text is read as Snowflake's first."""
    sql = ""
    with duckdb.connect() as connection:
        for name, rows in (("kept_rows", kept), ("incoming_rows", incoming)):
            given = table(*rows).drop_columns(["segment", "coverage", "flags"])
            given = given.append_column("segment", [["{}"] * given.num_rows])
            given = given.append_column("job", [["it"] * given.num_rows])
            connection.register("given", given)
            connection.execute(f"create table {name} as from given")
            sql = merge("kept_rows", "incoming_rows", given.column_names, UPKEEP[mode])
        assert sqlglot.parse_one(sql, read="snowflake").key == "merge"
        connection.execute(sql)
        found = connection.execute("select kpi, period_start, value from kept_rows").fetchall()
    assert len(found) == len(set(found))
    return {(name, day.day, value) for name, day, value in found}


def test_the_merge_restates_adds_and_removes_within_its_scope_only() -> None:
    kept = [kpi("a", 0.1), kpi("a", 0.2, **EARLIER), kpi("b", 0.3)]
    assert merged(kept, [kpi("a", 0.9), kpi("c", 0.5)], "upsert") == {
        ("a", 26, 0.9),
        ("a", 19, 0.2),
        ("b", 26, 0.3),
        ("c", 26, 0.5),
    }
    assert merged(kept, [kpi("a", 0.9)], "replace") == {("a", 26, 0.9)}
    assert merged(kept, [], "upsert") == {("a", 26, 0.1), ("a", 19, 0.2), ("b", 26, 0.3)}


def test_the_statement_of_the_table_is_snowflakes() -> None:
    types = {"text": "varchar", "float": "float", "integer": "number(38, 0)", "date": "date",
             "instant": "timestamp_tz"}  # fmt: skip
    flat = table(kpi()).drop_columns(["segment", "coverage", "flags"])
    sql = create_table('"S"."KPIS"', kinds(flat), types, ("kpi",))  # type: ignore[arg-type]
    assert sqlglot.parse_one(sql, read="snowflake").key == "create"
