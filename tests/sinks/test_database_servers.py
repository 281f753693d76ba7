"""The sink `database` on servers: PostgreSQL for real, what others would be told."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import adbc_driver_postgresql.dbapi as driver
import pytest
import sqlalchemy
from sqlalchemy.dialects import mssql, mysql

from crmetrics.deliver import Terms, channel_of, deliver
from crmetrics.plugin import Secret, SinkContext, SinkError, UnknownOutcomeError
from crmetrics_database.address import TableName, parse_url
from crmetrics_database.dialects import column_type
from crmetrics_database.postgres import PostgresDatabase
from crmetrics_database.sink import DatabaseOptions, DatabaseSink
from crmetrics_database.statements import KEY, kinds
from result_rows import delivery, kpi, table
from simulators.held_postgres import HeldPostgres
from simulators.postgres import PostgresServer
from sinks.writing_at_once import failures_at_once
from test_deliver_dispatch import MemoryLedger

schemas = itertools.count(1)
WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock'"


class Place:
    """A schema of its own on the server, its sink, and a second way to look inside."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.schema = f"p{next(schemas)}"
        self.url = server.url(self.schema)
        self.run(f"create schema {self.schema}")

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        with driver.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            found = cursor.fetchall() if sql.lstrip().startswith("select") else []
            connection.commit()
        return [tuple(row) for row in found]

    def sink(self, **options: Any) -> PatientSink:
        config = DatabaseOptions(**{"url": Secret(self.url), "table": "kpis", **options})
        return PatientSink(config, SinkContext("history", Path()))

    def values(self) -> list[tuple[Any, ...]]:
        return self.run("select kpi, value from kpis order by 1, 2")


class PatientSink(DatabaseSink):
    """The sink; in its pauses something may happen to the server."""

    pauses: list[float]
    between: Any = None

    def pause(self, seconds: float) -> bool:
        self.pauses = [*getattr(self, "pauses", []), seconds]
        if self.between is not None:
            self.between()
        return True


@pytest.fixture
def place(postgres: PostgresServer) -> Place:
    return Place(postgres)


def write(place: Place, *rows: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dict(place.sink(**options).write(delivery(table(*rows))).details)


# --- types ------------------------------------------------------------------------------------


def test_dates_instants_and_numbers_are_what_they_are(place: Place) -> None:
    write(place, kpi(n=7, value=0.1))
    [row] = place.run("select period_start, as_of, value, n, pg_typeof(as_of)::text from kpis")
    assert row == (
        date(2026, 1, 26),
        datetime(2026, 2, 2, 7, tzinfo=UTC),
        0.1,
        7,
        "timestamp with time zone",
    )


def test_a_schema_is_made(place: Place) -> None:
    write(place, kpi(), table=f"{place.schema}_reporting.kpis")
    assert place.run(f"select count(*) from {place.schema}_reporting.kpis") == [(1,)]


def test_a_segment_longer_than_an_index_takes_is_kept(place: Place) -> None:
    name = os.urandom(6_000).hex()
    write(place, kpi(segment={"owner.team": name}))
    assert write(place, kpi(segment={"owner.team": name}))["updated"] == 1


def test_the_key_is_unique_whoever_writes(place: Place) -> None:
    write(place, kpi())
    with pytest.raises(driver.IntegrityError):
        place.run("insert into kpis select * from kpis")


def test_every_part_of_the_key_makes_a_row_of_its_own(place: Place) -> None:
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(400)]
    rows = [
        *(kpi(period_start=day) for day in days),
        *(kpi(segment={"owner.team": f"team {number}"}) for number in range(400)),
        kpi("won_amount"), kpi(variant="by_amount"), kpi(grain="month"),
    ]  # fmt: skip
    rows.remove(kpi(period_start=date(2026, 1, 26)))
    write(place, *rows)
    assert place.run("select count(*) from kpis") == [(802,)]
    assert write(place, *rows) == {"inserted": 0, "updated": 802, "removed": 0}


def test_a_column_that_was_given_digits_to_round_to_is_refused(place: Place) -> None:
    write(place, kpi(value=0.5))
    place.run("alter table kpis alter column value type numeric(12, 2)")
    with pytest.raises(SinkError, match="column 'value' is NUMERIC, expected DOUBLE PRECISION"):
        write(place, kpi(value=33.375))
    assert [float(value) for _, value in place.values()] == [0.5]


def test_two_writers_at_once_leave_one_row_per_key(place: Place) -> None:
    write(place, kpi(value=0.0))
    failures = failures_at_once(
        lambda value: write(place, kpi(value=value), kpi("new", value)), writers=3
    )
    assert failures == []
    assert [name for name, _ in place.values()] == ["new", "win_rate"]


def test_a_lock_of_somebody_else_is_not_waited_for_for_ever(place: Place) -> None:
    write(place, kpi(value=0.0))
    database = PostgresDatabase(place.url)
    with database.transaction():
        assert database.first("select current_setting('lock_timeout')") == ("1min",)
        database.lock(TableName("kpis"))
        sink = place.sink(url=Secret(f"{place.url}%20-clock_timeout%3D200ms"))
        sink.pauses = []
        with pytest.raises(SinkError, match="lock timeout"):
            sink.write(delivery(table(kpi(value=1.0))))
        assert sink.pauses == []  # not a second and a third time
    database.close()
    assert place.values() == [("win_rate", 0.0)]


def test_a_column_is_not_added_for_as_long_as_somebody_reads(place: Place) -> None:
    write(place, kpi(value=0.0))
    place.run("alter table kpis drop column computed_at")
    reader = PostgresDatabase(place.url)
    with reader.transaction():
        reader.first("select count(*) from kpis")
        sink = place.sink(url=Secret(f"{place.url}%20-clock_timeout%3D200ms"))
        sink.pauses = []
        with pytest.raises(SinkError, match="lock timeout"):
            sink.write(delivery(table(kpi(value=1.0))))
        assert sink.pauses == []
    reader.close()
    assert place.values() == [("win_rate", 0.0)]


@pytest.fixture
def blocked(place: Place) -> Iterator[Place]:
    """A table that somebody else keeps locked."""
    write(place, kpi(value=0.0))
    database = PostgresDatabase(place.url)
    with database.transaction():
        database.lock(TableName("kpis"))
        yield place
    database.close()


def test_a_write_that_takes_too_long_is_cancelled_and_changes_nothing(blocked: Place) -> None:
    with pytest.raises(SinkError) as caught:
        write(blocked, kpi(value=1.0), timeout=2.0)
    assert not isinstance(caught.value, UnknownOutcomeError)
    assert "not done within 2 s (`timeout`). Nothing was changed." in str(caught.value)
    assert blocked.run(WAITING) == []
    assert blocked.values() == [("win_rate", 0.0)]


def test_a_server_that_hangs_does_not_hold_the_run(blocked: Place) -> None:
    stopped = list[int]()

    def stop() -> None:
        while not stopped:
            stopped.extend(pid for (pid,) in blocked.run(WAITING))
        os.kill(stopped[0], signal.SIGSTOP)

    stopping = threading.Thread(target=stop)
    stopping.start()
    try:
        with pytest.raises(UnknownOutcomeError, match="the next run writes the same rows"):
            write(blocked, kpi(value=1.0), timeout=4.0)
    finally:
        stopping.join()
        os.kill(stopped[0], signal.SIGCONT)
    assert blocked.values() == [("win_rate", 0.0)]


def test_a_write_that_was_given_up_takes_the_place_of_no_later_one(place: Place) -> None:
    behind = unquote(parse_qs(urlsplit(place.url).query)["host"][0])
    january, february = (table(kpi(period_start=date(2026, month, 1))) for month in (1, 2))
    with (
        tempfile.TemporaryDirectory(prefix="pg") as front,  # a socket's path has to be short
        HeldPostgres(Path(front), Path(behind)) as held,
    ):
        url = Secret(place.url.replace(behind, front).replace(quote(behind, safe=""), front))
        sink = place.sink(url=url, mode="replace", timeout=2.0)
        again = place.sink(url=url, mode="replace", timeout=2.0)  # of the next run in this process
        with pytest.raises(UnknownOutcomeError, match="not done within 2 s"):
            sink.write(delivery(january))
        for one in (sink, again):
            with pytest.raises(SinkError, match="given up has not ended; run again"):
                one.write(delivery(february))
        assert place.sink(url=url, table="elsewhere").write(delivery(february)).rows == 1
        held.release.set()
        for thread in threading.enumerate():
            if thread.name == "database":
                thread.join(timeout=300)
        tables = f"select tablename from pg_tables where schemaname = '{place.schema}'"
        assert place.run(tables) == [("elsewhere",)]
        assert again.write(delivery(february)).rows == 1
    assert place.run("select period_start from kpis") == [(date(2026, 2, 1),)]


# --- which table it is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql:///kpis?host=/run/pg", "postgresql:///kpis?host=/run/pg&port=5433"),
        ("postgresql:///?service=eu", "postgresql:///?service=us"),
        ("postgresql://ann@db", "postgresql://bob@db"),
        ("mysql://db/kpis", "mysql://db/kpis?unix_socket=/run/b"),
        ("mssql://db/kpis?instance=eu", "mssql://db/kpis?instance=us"),
    ],
)
def test_servers_that_only_options_tell_apart_are_two_destinations(one: str, other: str) -> None:
    assert identity(one) != identity(other)
    assert identity(one) == identity(f"{one}{'&' if '?' in one else '?'}connect_timeout=9")


def test_a_url_that_says_all_of_its_place_keeps_its_identity() -> None:
    sink = DatabaseSink(
        DatabaseOptions(url=Secret("postgresql://ann:hidden@db:5433/kpis?sslmode=require")),
        SinkContext("history", Path()),
    )
    given = delivery(table(kpi()))
    assert sink.destination_id(given) == sink.destination(given) == "postgresql db:5433/kpis:kpis"


def identity(url: str) -> str:
    sink = DatabaseSink(DatabaseOptions(url=Secret(url)), SinkContext("history", Path()))
    return sink.destination_id(delivery(table(kpi())))


def test_a_table_of_the_newest_period_elsewhere_keeps_back_no_earlier_one(place: Place) -> None:
    ledger = MemoryLedger()
    january, february = (
        replace(
            delivery(table(kpi(period_start=start))),
            period_start=start,
            period_end=date(2026, start.month + 1, 1),
        )
        for start in (date(2026, 1, 1), date(2026, 2, 1))
    )

    def in_march() -> datetime:
        return datetime(2026, 3, 2, tzinfo=UTC)

    def note(url: str) -> str:
        sink = {"latest": place.sink(url=Secret(url), mode="replace")}
        [outcome] = deliver(sink, january, Terms(ledger, dry_run=True, now=in_march))
        return outcome.note

    other = place.server.url("elsewhere")
    terms = Terms(ledger, now=in_march)
    [there] = deliver({"latest": place.sink(mode="replace")}, february, terms)
    assert there.status == "delivered"
    assert "it holds a later period" in note(place.url)
    assert note(other) == ""
    # As older versions noted it, which took both for one place.
    before = channel_of(there.destination)
    ledger.records[:] = [replace(one, channel=before) for one in ledger.records]
    assert "it holds a later period" in note(place.url)


# --- what befalls a server --------------------------------------------------------------------

KILL = """
create function die() returns trigger language plpgsql as $$
begin
  if new.kpi = 'last' and nextval('strikes') <= {times} then
    perform pg_terminate_backend(pg_backend_pid());
    perform pg_sleep(0.01);
  end if;
  return new;
end $$
"""


def dies_while_writing(place: Place, times: int) -> None:
    """The server ends the connection in the middle of the rows, so many times."""
    place.run("create sequence strikes")
    place.run(KILL.format(times=times))
    place.run("create trigger die before insert on kpis for each row execute function die()")


@pytest.mark.parametrize("has_rows", [True, False])
def test_a_connection_dropped_in_the_middle_of_the_rows_is_made_anew(
    place: Place, has_rows: bool
) -> None:
    write(place, kpi(value=0.1) if has_rows else kpi("other", 0.1))
    dies_while_writing(place, times=1)
    sink = place.sink()
    sink.write(delivery(table(kpi(value=0.9), kpi("last", 1.0))))
    assert len(sink.pauses) == 1
    assert place.values()[-2:] == [
        *([("last", 1.0)] if has_rows else []),
        *([("other", 0.1)] if not has_rows else []),
        ("win_rate", 0.9),
    ]


def test_a_connection_that_always_drops_leaves_the_rows_of_before(place: Place) -> None:
    write(place, kpi(value=0.1))
    dies_while_writing(place, times=9)
    with pytest.raises(SinkError, match="Nothing was changed"):
        write(place, kpi(value=0.9), kpi("last", 1.0))
    assert place.values() == [("win_rate", 0.1)]


def test_a_server_that_is_restarted_is_waited_for(place: Place) -> None:
    write(place, kpi(value=0.1))
    place.server.stop()
    sink = place.sink()
    sink.between = lambda: (place.server.start(), setattr(sink, "between", None))
    sink.write(delivery(table(kpi(value=0.9))))
    assert place.values() == [("win_rate", 0.9)]


def test_a_server_that_crashes_while_rows_wait_is_waited_for(place: Place) -> None:
    write(place, kpi(value=0.1))
    sink = place.sink()

    def crash() -> None:
        place.server.stop()
        place.server.start()

    blocker = driver.connect(place.url)
    cursor = blocker.cursor()
    cursor.execute("lock table kpis in share mode")
    crashing = threading.Timer(0.3, crash)
    sink.between = crashing.join
    crashing.start()
    sink.write(delivery(table(kpi(value=0.9), kpi("new", 1.0))))
    crashing.join()
    with contextlib.suppress(driver.Error):
        cursor.close()
        blocker.close()
    assert len(sink.pauses) == 1
    assert place.values() == [("new", 1.0), ("win_rate", 0.9)]


def test_a_server_that_stays_away_is_an_error_without_the_password(place: Place) -> None:
    url = "postgresql://ann:hunter2hunter2@127.0.0.1:1/kpis"
    sink = place.sink(url=Secret(url))
    with pytest.raises(SinkError) as caught:
        sink.write(delivery())
    assert sink.pauses == [1.0, 4.0]
    assert "sink history: postgresql 127.0.0.1:1/kpis:kpis:" in str(caught.value)
    [result] = sink.check()
    shown = str(caught.value) + str(result) + repr(sink.config) + sink.preview(delivery())
    assert result.state == "error"
    assert "hunter2" not in shown


def test_check_of_a_server_that_is_there(place: Place) -> None:
    [result] = place.sink().check()
    assert result.state == "ok"
    assert place.run(f"select count(*) from pg_tables where schemaname = '{place.schema}'") == [
        (0,)
    ]


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (
            "postgresql://ann:secret-pass@db.acme.test:5433/kpis",
            "postgresql db.acme.test:5433/kpis",
        ),
        ("postgres://db/kpis?password=secret-pass", "postgresql db/kpis"),
        ("mariadb://ann:secret-pass@db/kpis", "mysql db/kpis"),
        ("mysql+mysqldb://db/kpis", "mysql db/kpis"),
        ("mssql://ann:secret-pass@db/kpis", "mssql db/kpis"),
    ],
)
def test_a_server_is_shown_without_credentials(url: str, shown: str) -> None:
    assert parse_url(url).shown == shown


# --- MySQL, MariaDB, SQL Server ---------------------------------------------------------------

SERVERS = {"mysql": "CRMETRICS_TEST_MYSQL_URL", "mssql": "CRMETRICS_TEST_MSSQL_URL"}


@pytest.mark.parametrize("kind", SERVERS)
def test_rows_are_kept_by_key_on_a_server(kind: str) -> None:
    url = os.environ.get(SERVERS[kind])
    if not url:
        pytest.skip(f"needs a server: set {SERVERS[kind]}, such as {kind}://user:password@host/db")
    config = DatabaseOptions(url=Secret(url), table=f"kpis_{os.getpid()}")
    sink = DatabaseSink(config, SinkContext("history", Path()))
    rows = [
        kpi(value=0.1),
        kpi(segment={"owner.team": "East"}),
        kpi(segment={"owner.team": "east"}),
    ]
    assert sink.write(delivery(table(*rows))).details["inserted"] == 3
    again = sink.write(delivery(table(kpi(value=0.9), *rows[1:2])))
    assert dict(again.details) == {"inserted": 0, "updated": 2, "removed": 1}


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (mysql.dialect(), ["VARCHAR(400)", "utf8mb4_bin", "DATETIME(6)", "DOUBLE", "BIGINT"]),
        (
            mssql.dialect(),
            ["NVARCHAR(400)", "Latin1_General_BIN2", "DATETIMEOFFSET", "NVARCHAR(max)"],
        ),
    ],
    ids=["mysql", "mssql"],
)
def test_the_types_of_a_dialect_keep_keys_apart_and_digits_whole(
    dialect: Any, expected: list[str]
) -> None:
    columns = {"job": "text", **kinds(table(kpi()).drop_columns(["segment", "coverage", "flags"]))}
    columns["segment"] = "text"
    made = sqlalchemy.Table(
        "kpis",
        sqlalchemy.MetaData(),
        *(sqlalchemy.Column(name, column_type(name, kind)) for name, kind in columns.items()),  # type: ignore[arg-type]
        sqlalchemy.PrimaryKeyConstraint(*KEY),
    )
    text = str(sqlalchemy.schema.CreateTable(made).compile(dialect=dialect))
    assert all(part in text for part in expected)


def test_an_extra_that_is_missing_is_named(tmp_path: Path) -> None:
    config = DatabaseOptions(url=Secret("mssql+nosuchdriver://db/kpis"))
    sink = DatabaseSink(config, SinkContext("history", tmp_path))
    [result] = sink.check()
    assert result.state == "error"
    assert "mssql" in result.message
