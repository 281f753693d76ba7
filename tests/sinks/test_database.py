"""The sink `database`: one row per key, whatever is repeated, restated or missing."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from crmetrics.plugin import Receipt, Secret, SinkContext, SinkError
from crmetrics.results import result_schema
from crmetrics_database.address import Address, parse_table, parse_url
from crmetrics_database.alchemy import AlchemyDatabase
from crmetrics_database.engines import Database
from crmetrics_database.sink import DatabaseOptions, DatabaseSink
from result_rows import delivery, kpi, table
from simulators.mariadb import find_mariadbd
from simulators.snowflake import VARIABLE as FAKESNOW

Rows = list[tuple[Any, ...]]

URLS = {"duckdb": "duckdb:///results.duckdb", "sqlite": "sqlite:///results.sqlite"}


SCHEMA_FUNCTIONS = {
    "postgresql": "current_schema()",
    "mariadb": "database()",
    "snowflake": "current_schema()",
}


class Target:
    """A database file of one kind, its sink, and a second way to look inside."""

    def __init__(self, kind: str, folder: Path, url: str = "") -> None:
        self.kind, self.folder, self.url = kind, folder, url or URLS[kind]
        self.path = folder / self.url.rpartition("/")[2]

    @property
    def is_file(self) -> bool:
        return self.kind in URLS

    def sink(self, **options: Any) -> DatabaseSink:
        config = DatabaseOptions(**{"url": self.url, "table": "kpis", **options})
        kind = ThroughAlchemy if self.kind == "sqlalchemy" else DatabaseSink
        return kind(config, SinkContext("history", self.folder))

    def write(self, *rows: dict[str, Any], job: str = "weekly_sales") -> dict[str, int]:
        receipt = self.sink().write(delivery(table(*rows), job=job))
        assert receipt.rows == len(rows)
        return dict(receipt.details)

    def query(self, sql: str) -> Rows:
        if self.kind == "postgresql":
            return postgres_query(self.url, sql)
        if self.kind == "mariadb":
            return mariadb_query(self.url, sql)
        if self.kind == "snowflake":
            return snowflake_query(self.url, sql)
        if self.kind == "duckdb":
            with duckdb.connect(str(self.path)) as duck:
                return duck.execute(sql).fetchall()
        connection = sqlite3.connect(self.path)
        try:
            found = connection.execute(sql).fetchall()
            connection.commit()
            return found
        finally:
            connection.close()

    def values(self) -> Rows:
        return self.query("select kpi, segment, value from kpis order by 1, 2, 3")


class ThroughAlchemy(DatabaseSink):
    """The way that MySQL, MariaDB and SQL Server take, over a database that needs no server."""

    def _open_database(self, *, read_only: bool = False) -> Database:
        path = self.context.project_dir / self.config.address.path
        return AlchemyDatabase("sqlite", f"sqlite+pysqlite:///{path}")


def postgres_query(url: str, sql: str) -> Rows:
    import adbc_driver_postgresql.dbapi as driver

    with driver.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        is_query = sql.lstrip().startswith("select")
        found = [tuple(row) for row in cursor.fetchall()] if is_query else []
        connection.commit()
    return found


def mariadb_query(url: str, sql: str) -> Rows:
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.replace("mariadb:", "mariadb+pymysql:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("set sql_mode = concat(@@sql_mode, ',ANSI_QUOTES')")
        found = connection.exec_driver_sql(sql.replace(" as text)", " as char)"))
        rows = [tuple(row) for row in found] if found.returns_rows else []
    engine.dispose()
    return rows


def snowflake_query(url: str, sql: str) -> Rows:
    import adbc_driver_snowflake.dbapi as driver

    sql = sql.replace('"order"', '"ORDER"')
    address = url.partition("://")[2]
    with driver.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]


schemas = itertools.count(1)


PARAMETERS = ["duckdb", "sqlite", "postgresql", "sqlalchemy"]
if find_mariadbd() is not None:  # else test_database_mariadb.py tells that it is skipped
    PARAMETERS.append("mariadb")
if os.environ.get(FAKESNOW):  # takes minutes; test_database_snowflake.py has the gist
    PARAMETERS.append("snowflake")


@pytest.fixture(params=PARAMETERS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """A database of each kind; that of a server is a schema of its own."""
    if request.param == "sqlalchemy":
        return Target("sqlalchemy", tmp_path, URLS["sqlite"])
    if request.param == "mariadb":
        mariadb = request.getfixturevalue("mariadb")
        name = f"s{next(schemas)}"
        mariadb_query(mariadb.url("mysql"), f"create database {name}")
        return Target("mariadb", tmp_path, mariadb.url(name))
    if request.param == "snowflake":
        snowflake = request.getfixturevalue("snowflake")
        return Target("snowflake", tmp_path, snowflake.url("acme", f"s{next(schemas)}"))
    if request.param != "postgresql":
        return Target(request.param, tmp_path)
    server = request.getfixturevalue("postgres")
    schema = f"s{next(schemas)}"
    postgres_query(server.url(), f"create schema {schema}")
    return Target("postgresql", tmp_path, server.url(schema))


@pytest.fixture
def file(target: Target) -> Target:
    """As `target`, of a database in a file only."""
    if not target.is_file:
        pytest.skip("this kind of database is no file")
    return target


def east(**columns: Any) -> dict[str, Any]:
    return kpi(segment={"owner.team": "East"}, **columns)


def west(**columns: Any) -> dict[str, Any]:
    return kpi(segment={"owner.team": "West"}, **columns)


# --- upsert ----------------------------------------------------------------------------------


def test_a_table_that_is_made_for_a_delivery_is_told(target: Target) -> None:
    made = [target.sink().write(delivery(table(kpi()))).made for _ in range(2)]
    assert made == ["the table", ""]


def test_a_table_that_is_made_for_a_delivery_that_fails_is_noted(target: Target) -> None:
    kept = list[Receipt]()
    twice = replace(delivery(table(kpi(), kpi())), keep=kept.append)
    with pytest.raises(SinkError, match="two rows"):
        target.sink().write(twice)
    assert [one.made for one in kept] == ["the table"]


def test_a_missing_table_is_made_with_the_job_and_every_column(target: Target) -> None:
    assert target.write(kpi()) == {"inserted": 1, "updated": 0, "removed": 0}
    if target.kind in SCHEMA_FUNCTIONS:
        found = target.query(
            "select lower(column_name) from information_schema.columns "
            f"where lower(table_name) = 'kpis' and table_schema = {SCHEMA_FUNCTIONS[target.kind]} "
            "order by ordinal_position"
        )
    elif target.kind == "duckdb":
        found = target.query("select column_name from information_schema.columns")
    else:
        found = target.query("select name from pragma_table_info('kpis')")
    assert [name for (name,) in found] == ["job", *result_schema().names]


def test_a_repeat_leaves_one_row_per_key(target: Target) -> None:
    target.write(kpi(), east())
    assert target.write(kpi(), east()) == {"inserted": 0, "updated": 2, "removed": 0}
    assert len(target.values()) == 2


def test_a_later_run_restates_in_place(target: Target) -> None:
    target.write(kpi(value=0.4, run_id="run-1"))
    target.write(kpi(value=0.5, run_id="run-2", flags=["low_sample"]))
    assert target.query("select value, run_id, flags from kpis") == [
        (0.5, "run-2", '["low_sample"]')
    ]


def test_a_value_can_become_null(target: Target) -> None:
    target.write(kpi(value=0.4))
    target.write(kpi(value=None, status="no_data"))
    assert target.query("select value, status from kpis") == [(None, "no_data")]


def test_a_group_that_is_gone_is_removed_other_periods_and_kpis_stay(target: Target) -> None:
    earlier = {"period_start": date(2026, 1, 19), "period_end": date(2026, 1, 26)}
    target.write(west(**earlier), kpi("won_amount", 1.0))
    target.write(kpi(), east(), west())
    assert target.write(kpi(), east()) == {"inserted": 0, "updated": 2, "removed": 1}
    assert target.query("select kpi, segment, cast(period_start as text) from kpis "
                        "order by 1, 2") == [
        ("win_rate", '{"owner.team": "East"}', "2026-01-26"),
        ("win_rate", '{"owner.team": "West"}', "2026-01-19"),
        ("win_rate", "{}", "2026-01-26"),
        ("won_amount", "{}", "2026-01-26"),
    ]  # fmt: skip


def test_another_grouping_replaces_the_former_one(target: Target) -> None:
    target.write(east(), west())
    target.write(kpi(segment={"account.segment": "SMB"}))
    assert [segment for _, segment, _ in target.values()] == ['{"account.segment": "SMB"}']


def test_jobs_do_not_touch_each_others_rows(target: Target) -> None:
    target.write(kpi(value=0.4), job="all")
    target.write(kpi(value=0.9), job="smb_only")
    assert target.query("select job, value from kpis order by job") == [
        ("all", 0.4),
        ("smb_only", 0.9),
    ]


def test_the_order_of_dimensions_does_not_make_another_key(target: Target) -> None:
    target.write(kpi(segment={"a": "1", "b": "2"}))
    target.write(kpi(segment={"b": "2", "a": "1"}, value=0.7))
    assert target.values() == [("win_rate", '{"a": "1", "b": "2"}', 0.7)]


def test_a_null_variant_is_the_default_one(target: Target) -> None:
    target.write(kpi(variant=None))
    target.write(kpi(variant=""))
    assert target.query("select variant from kpis") == [("",)]


@pytest.mark.parametrize(
    "name", ["", "O'Brien; drop table kpis; --", 'quote"d', "日本 🎉", "a\nb", "%_\\", "x" * 5000]
)
def test_every_text_comes_back(target: Target, name: str) -> None:
    if target.kind in ("mariadb", "sqlalchemy") and len(name) > 400:
        pytest.skip("a key of these takes 400 characters; that is told by another test")
    row = kpi(segment={"owner.team": name}, definition_hash=name)
    target.write(row)
    target.write(row)
    assert target.query("select definition_hash from kpis") == [(name,)]


def test_numbers_that_are_none_become_null(target: Target) -> None:
    target.write(kpi(value=float("nan"), numerator=float("inf")))
    assert target.query("select value, numerator from kpis") == [(None, None)]


def test_many_groups_are_written_and_restated(target: Target) -> None:
    rows = [kpi(segment={"owner.team": f"team {index}"}) for index in range(5_000)]
    target.write(*rows)
    assert target.write(*rows[:-1]) == {"inserted": 0, "updated": 4_999, "removed": 1}


def test_no_rows_change_nothing(target: Target) -> None:
    target.write(kpi())
    assert target.write() == {"inserted": 0, "updated": 0, "removed": 0}
    assert len(target.values()) == 1


def test_two_rows_of_one_key_are_refused(target: Target) -> None:
    target.write(kpi(value=0.4))
    with pytest.raises(SinkError, match=r"two rows for job weekly_sales, kpi win_rate"):
        target.write(kpi(value=0.5), kpi(value=0.6))
    assert target.values() == [("win_rate", "{}", 0.4)]


def test_a_failure_in_the_middle_changes_nothing(target: Target) -> None:
    if target.kind == "snowflake":
        pytest.skip("one statement does it all, which is atomic by itself")
    target.write(kpi(), east())
    # From here on the table refuses new rows, which come after groups were removed.
    if target.kind == "duckdb":
        target.query("alter table kpis rename to kept")
        target.query("create table kpis as select * from kept")
        target.query("alter table kpis add column region varchar default ''")
        target.query("alter table kpis alter column region set not null")
        target.query("alter table kpis alter column region drop default")
    elif target.kind == "postgresql":
        target.query("alter table kpis add constraint no_new check (value <> 7) not valid")
    elif target.kind == "mariadb":
        target.query("alter table kpis add constraint no_new check (value <> 7)")
    else:
        target.query(
            "create trigger refuse before insert on kpis begin select raise(abort, 'no'); end"
        )
    before = target.values()
    with pytest.raises(SinkError, match="Nothing was changed"):
        target.write(kpi(), west(value=7.0))
    assert target.values() == before


# --- types -----------------------------------------------------------------------------------


def test_duckdb_has_dates_instants_and_numbers_as_such(tmp_path: Path) -> None:
    target = Target("duckdb", tmp_path)
    target.write(kpi(n=7, coverage={"rows_used": 3.0}))
    [types] = target.query(
        "select typeof(period_start), typeof(as_of), typeof(value), typeof(n), typeof(coverage) "
        "from kpis"
    )
    assert types == ("DATE", "TIMESTAMP WITH TIME ZONE", "DOUBLE", "BIGINT", "VARCHAR")
    [(as_of,)] = target.query("select epoch(as_of) from kpis")
    assert as_of == datetime(2026, 2, 2, 7, tzinfo=UTC).timestamp()


def test_sqlite_has_dates_and_instants_as_iso_text(tmp_path: Path) -> None:
    target = Target("sqlite", tmp_path)
    target.write(kpi(n=7))
    assert target.query("select period_start, as_of, n, typeof(n), typeof(value) from kpis") == [
        ("2026-01-26", "2026-02-02T07:00:00Z", 7, "integer", "real")
    ]
    assert target.query("select strftime('%Y-%m', period_start) from kpis") == [("2026-01",)]


# --- tables that exist already ---------------------------------------------------------------


def test_missing_columns_are_added_and_foreign_ones_left_alone(target: Target) -> None:
    target.query(
        "create table kpis (kpi text, period_start date, grain text, segment text, variant text, "
        "job text, value double precision, remark text)"
    )
    target.query(
        "insert into kpis values ('win_rate', '2026-01-26', 'week', '{}', '', 'weekly_sales', 0.1,"
        " 'checked by Ann')"
    )
    assert target.write(kpi(value=0.4, n=9)) == {"inserted": 0, "updated": 1, "removed": 0}
    assert target.query("select value, n, remark from kpis") == [(0.4, 9, "checked by Ann")]


def test_a_table_without_job_and_segment_gets_them_with_their_defaults(target: Target) -> None:
    target.query("create table kpis (kpi text, period_start date, value double precision)")
    target.query("insert into kpis values ('win_rate', '2026-01-26', 0.1)")
    target.write(kpi(value=0.4))
    assert target.query("select job, segment, variant, value from kpis order by job") == [
        ("", "{}", "", 0.1),
        ("weekly_sales", "{}", "", 0.4),
    ]


def test_names_of_columns_may_have_capitals(target: Target) -> None:
    target.query("create table kpis (KPI text, Period_Start date, Value double precision)")
    target.write(kpi())
    target.write(kpi(value=0.5))
    assert target.values() == [("win_rate", "{}", 0.5)]


def test_a_table_of_something_else_is_refused(target: Target) -> None:
    target.query("create table kpis (id integer, name text)")
    with pytest.raises(SinkError, match="no column kpi or period_start"):
        target.write(kpi())
    [result] = target.sink().check()
    assert result.state == "error"


def test_a_duckdb_column_that_would_lose_digits_is_refused(tmp_path: Path) -> None:
    target = Target("duckdb", tmp_path)
    target.query("create table kpis (kpi varchar, period_start date, value integer)")
    with pytest.raises(SinkError, match=r"column 'value' is INTEGER, expected DOUBLE"):
        target.write(kpi())
    assert len(target.query("select column_name from information_schema.columns")) == 3


def test_a_duckdb_schema_is_made_even_when_it_is_called_like_the_file(tmp_path: Path) -> None:
    target = Target("duckdb", tmp_path)
    sink = target.sink(table="results.kpis")
    sink.write(delivery())
    sink.write(delivery())
    assert target.query('select count(*) from "results"."results"."kpis"') == [(1,)]
    assert sink.destination(delivery()) == "results.duckdb:results.kpis"


def test_a_reserved_word_can_be_a_table(target: Target) -> None:
    target.sink(table="order").write(delivery())
    assert target.query('select count(*) from "order"') == [(1,)]


# --- files -----------------------------------------------------------------------------------


def test_folders_of_the_file_are_made(tmp_path: Path) -> None:
    options = DatabaseOptions(url=Secret("sqlite:///deep/er/results.sqlite"))
    sink = DatabaseSink(options, SinkContext("history", tmp_path))
    [result] = sink.check()
    assert (result.state, list(tmp_path.iterdir())) == ("ok", [])
    sink.write(delivery())
    assert (tmp_path / "deep/er/results.sqlite").is_file()


def test_four_slashes_are_an_absolute_path(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.sqlite"
    options = DatabaseOptions(url=Secret(f"sqlite:///{file}"))
    sink = DatabaseSink(options, SinkContext("history", tmp_path / "project"))
    sink.write(delivery())
    assert file.is_file()


@pytest.mark.parametrize("content", [b"this is no database", b"x" * 20_000])
def test_a_file_that_is_no_database_is_refused(file: Target, content: bytes) -> None:
    file.path.write_bytes(content)
    with pytest.raises(SinkError, match=f"{file.path.name}:kpis: .*Nothing was changed"):
        file.write(kpi())
    [result] = file.sink().check()
    assert result.state == "error"
    assert file.path.read_bytes() == content


def test_a_folder_in_place_of_the_file_is_refused(file: Target) -> None:
    file.path.mkdir()
    with pytest.raises(SinkError):
        file.write(kpi())


def test_a_duckdb_file_that_another_process_holds_is_told(tmp_path: Path) -> None:
    target = Target("duckdb", tmp_path)
    target.write(kpi())
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import sys, duckdb
                connection = duckdb.connect(sys.argv[1])
                print("held", flush=True)
                sys.stdin.read()
                connection.close()
            """),
            str(target.path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SinkError, match="Another program holds the file"):
            target.write(kpi())
        holder.communicate("")
    assert target.write(kpi())["updated"] == 1


def test_a_kill_in_the_middle_leaves_the_rows_of_before(file: Target) -> None:
    file.write(kpi(value=0.1), east(value=0.1))
    killed = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from crmetrics_database import engines
        from crmetrics_database.statements import insert_new
        from result_rows import delivery, kpi, table
        sys.path.insert(0, sys.argv[3])
        from test_database import Target

        for kind in (engines.DuckDatabase, engines.SqliteDatabase):
            execute = kind.execute
            def stopped(self, sql, execute=execute):
                if sql.startswith("insert into"):
                    os.kill(os.getpid(), signal.SIGKILL)
                return execute(self, sql)
            kind.execute = stopped
        Target(sys.argv[1], Path(sys.argv[2])).write(kpi(value=0.9), kpi("new", 1.0))
    """)
    here = Path(__file__).parent
    command = [sys.executable, "-c", killed, file.kind, str(file.folder), str(here)]
    done = subprocess.run(
        command, check=False, cwd=here.parent, env={"PYTHONPATH": str(here.parent)}
    )
    assert done.returncode == -9
    assert file.values() == [
        ("win_rate", '{"owner.team": "East"}', 0.1),
        ("win_rate", "{}", 0.1),
    ]
    assert file.write(kpi(value=0.9)) == {"inserted": 0, "updated": 1, "removed": 1}


# --- preview and options ---------------------------------------------------------------------


def test_the_preview_shows_the_rows_and_makes_no_file(file: Target) -> None:
    text = file.sink().preview(delivery(table(kpi(), east())))
    assert text.startswith(f"--- {file.path.name}:kpis: 2 rows, one per job, kpi, variant")
    assert text.count("weekly_sales,win_rate") == 2
    assert not file.path.exists()


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("duckdb:///results.duckdb", Address("duckdb", Path("results.duckdb"))),
        ("sqlite:///a/b c.db", Address("sqlite", Path("a/b c.db"))),
        ("duckdb:////var/results.duckdb", Address("duckdb", Path("/var/results.duckdb"))),
    ],
)
def test_urls_name_a_kind_and_a_file(url: str, address: Address) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("oracle://ann:hunter2@db/kpis", "'oracle' are not supported"),
        ("duckbd:///hunter2.duckdb", "Did you mean 'duckdb'"),
        ("duckdb://hunter2.duckdb", "three slashes"),
        ("duckdb:///", "expected a file"),
        ("duckdb:///:memory:", "expected a file"),
        ("sqlite:///hunter2/", "expected a file"),
        ("sqlite:///x.db?password=hunter2", "no options"),
        ("hunter2.duckdb", "expected a URL"),
        ("", "expected a URL"),
    ],
)
def test_a_wrong_url_is_refused_without_being_shown(url: str, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DatabaseOptions(url=Secret(url))
    assert text in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a.b.c", "kpis;", 'k"', "1st", "k pis", "a.", "é", "x" * 64])
def test_a_wrong_table_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        parse_table(name, "duckdb")


def test_sqlite_takes_no_schema() -> None:
    with pytest.raises(ValidationError, match="SQLite has no schemas; write 'kpis'"):
        DatabaseOptions(url=Secret(URLS["sqlite"]), table="main.kpis")


def test_the_url_is_not_in_the_repr() -> None:
    options = DatabaseOptions(url=Secret("sqlite:///hunter2.db"))
    assert "hunter2" not in repr(options)


def test_an_error_of_the_driver_is_told_with_sink_and_table(file: Target, tmp_path: Path) -> None:
    file.query("create view kpis as select 'x' as kpi, '2026-01-26' as period_start")
    with pytest.raises(SinkError, match=f"sink history: {file.path.name}:kpis: "):
        file.write(kpi())


# --- modes -----------------------------------------------------------------------------------


def test_append_keeps_what_every_run_said(target: Target) -> None:
    for run_id, value in (("run-1", 0.4), ("run-2", 0.5), ("run-2", 0.6)):
        sink = target.sink(mode="append")
        sink.write(delivery(table(kpi(value=value, run_id=run_id))))
    assert target.query("select run_id, value from kpis order by 1") == [
        ("run-1", 0.4),
        ("run-2", 0.6),
    ]


def test_append_keeps_every_period_that_one_run_delivers(target: Target) -> None:
    earlier = {"period_start": date(2026, 1, 19), "period_end": date(2026, 1, 26)}
    restated = (kpi(value=0.7, **earlier), east(value=0.8, **earlier))
    for rows in ((kpi(), east()), (kpi(value=9.0, **earlier),), restated, (kpi(value=0.5),)):
        target.sink(mode="append").write(delivery(table(*rows)))
    assert target.query("select cast(period_start as text), value from kpis order by 1, 2") == [
        ("2026-01-19", 0.7),
        ("2026-01-19", 0.8),
        ("2026-01-26", 0.5),
    ]


def test_replace_keeps_only_the_last_delivery_of_the_job(target: Target) -> None:
    earlier = {"period_start": date(2026, 1, 19), "period_end": date(2026, 1, 26)}
    target.write(kpi(value=9.0), job="other")
    for rows in ((kpi(**earlier), east(**earlier)), (kpi(),)):
        target.sink(mode="replace").write(delivery(table(*rows)))
    assert target.query("select job, cast(period_start as text) from kpis order by 1") == [
        ("other", "2026-01-26"),
        ("weekly_sales", "2026-01-26"),
    ]


def test_what_is_not_there_after_the_write_is_an_error_and_no_commit(target: Target) -> None:
    target.write(kpi(value=0.1))
    # A trigger that swallows or changes rows: the count afterwards shows it.
    if target.kind in ("duckdb", "snowflake"):
        pytest.skip("it has no triggers")
    elif target.kind == "postgresql":
        target.query(
            "create function swallow() returns trigger language plpgsql as "
            "$$ begin return null; end $$"
        )
        target.query(
            "create trigger s before insert on kpis for each row execute function swallow()"
        )
    elif target.kind == "mariadb":
        target.query("create trigger s before insert on kpis for each row set new.value = 0.7")
    else:
        target.query(
            "create trigger s after insert on kpis begin delete from kpis where kpi = new.kpi; end"
        )
    with pytest.raises(SinkError, match=r"the table holds .* rows .* where 1 rows"):
        target.write(kpi("other", 0.5))
    assert target.values() == [("win_rate", "{}", 0.1)]
