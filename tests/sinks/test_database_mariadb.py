"""The sink `database` on a real MariaDB: types, what others do to the server, and what befalls it.

What all databases have in common is in test_database.py, where MariaDB is one of them.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics.plugin import Secret, SinkContext, SinkError
from crmetrics_database.sink import DatabaseOptions, DatabaseSink
from result_rows import delivery, kpi, table
from simulators.mariadb import MariaDbServer
from sinks.writing_at_once import failures_at_once

databases = itertools.count(1)


class PatientSink(DatabaseSink):
    """The sink; in its pauses something may happen to the server."""

    pauses: list[float]
    between: Callable[[], None] | None = None

    def pause(self, seconds: float) -> bool:
        self.pauses = [*getattr(self, "pauses", []), seconds]
        if self.between is not None:
            self.between()
        return True


class Place:
    """A database of its own on the server, its sink, and a second way to look inside."""

    def __init__(self, server: MariaDbServer) -> None:
        self.server, self.name = server, f"p{next(databases)}"
        self.url = server.url(self.name)
        self.run(f"create database {self.name}", database="mysql")

    def run(self, sql: str, database: str = "") -> list[tuple[Any, ...]]:
        connection = self.server.connect(database or self.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def sink(self, **options: Any) -> PatientSink:
        config = DatabaseOptions(**{"url": Secret(self.url), "table": "kpis", **options})
        return PatientSink(config, SinkContext("history", Path()))

    def values(self) -> list[tuple[Any, ...]]:
        return self.run("select kpi, value from kpis order by 1, 2")

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """The rows are held by somebody else, so that a write waits in the middle."""
        connection = self.server.connect(self.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute("begin")
                cursor.execute("select * from kpis for update")
                yield
        finally:
            connection._force_close()

    def wait_for_writer(self) -> int:
        """The id of the connection that waits with a statement that changes rows."""
        query = (
            f"select id from information_schema.processlist where db = '{self.name}' "
            "and command = 'Query' and (info like 'UPDATE%' or info like 'INSERT%')"
        )
        while not (found := self.run(query)):
            pass
        return int(found[0][0])


@pytest.fixture
def place(mariadb: MariaDbServer) -> Place:
    return Place(mariadb)


def write(place: Place, *rows: dict[str, Any], **options: Any) -> dict[str, Any]:
    return dict(place.sink(**options).write(delivery(table(*rows))).details)


# --- types ------------------------------------------------------------------------------------


def test_dates_instants_and_numbers_are_what_they_are(place: Place) -> None:
    values = [0.1, 1 / 3, -1e300, 5e-324, 12_345_678_901.25]
    write(place, *(kpi(f"k{index}", value, n=7) for index, value in enumerate(values)))
    assert [value for _, value in place.values()] == values
    [row] = place.run("select period_start, as_of, n from kpis where kpi = 'k0'")
    assert row == (date(2026, 1, 26), datetime(2026, 2, 2, 7), 7)
    types = place.run(
        "select column_name, column_type from information_schema.columns where table_name = 'kpis' "
        f"and table_schema = '{place.name}'"
    )
    assert {
        ("period_start", "date"),
        ("as_of", "datetime(6)"),
        ("value", "double"),
        ("n", "bigint(20)"),
        ("segment", "varchar(400)"),
    } <= set(types)


def test_instants_are_utc_whatever_the_servers_zone_and_the_columns_type(place: Place) -> None:
    place.run("set global time_zone = '+09:00'")
    try:
        place.run("create table kpis (kpi varchar(50), period_start date, as_of timestamp(6))")
        write(place, kpi())
        assert place.run("select unix_timestamp(as_of) from kpis") == [
            (datetime.fromisoformat("2026-02-02T07:00:00+00:00").timestamp(),)
        ]
    finally:
        place.run("set global time_zone = 'SYSTEM'")


def test_texts_of_a_key_differ_by_case_and_accent(place: Place) -> None:
    names = ["East", "east", "Èast", "ss", "ß", "日本 🎉"]
    rows = [kpi(segment={"owner.team": name}) for name in names]
    assert write(place, *rows)["inserted"] == len(names)
    assert write(place, *rows) == {"inserted": 0, "updated": len(names), "removed": 0}


@pytest.mark.parametrize("mode", ["", "STRICT_ALL_TABLES"])
def test_a_text_longer_than_its_column_is_refused_and_never_cut(place: Place, mode: str) -> None:
    place.run(f"set global sql_mode = '{mode}'")
    try:
        with pytest.raises(SinkError, match=r"a segment of the results has 5,018 characters"):
            write(place, kpi(segment={"owner.team": "x" * 5_000}))
        place.run("drop table kpis")
        place.run("create table kpis (kpi varchar(50), period_start date, status varchar(1))")
        with pytest.raises(SinkError, match="Data too long for column 'status'"):
            write(place, kpi())
        assert place.run("select count(*) from kpis") == [(0,)]
    finally:
        place.run("set global sql_mode = default")


@pytest.mark.parametrize("kind", ["float", "decimal(10, 2)", "int"])
def test_a_column_that_would_lose_digits_is_refused(place: Place, kind: str) -> None:
    place.run(f"create table kpis (kpi varchar(50), period_start date, value {kind})")
    with pytest.raises(SinkError, match=r"column 'value' is \w+, expected DOUBLE"):
        write(place, kpi())


def test_many_periods_at_once_are_restated(place: Place) -> None:
    rows = [
        kpi(f"kpi_{index}", float(index), period_start=date(2026, 1, 1 + index % 28))
        for index in range(700)
    ]
    assert write(place, *rows)["inserted"] == 700
    assert write(place, *rows[:-1]) == {"inserted": 0, "updated": 699, "removed": 0}


# --- what befalls a server --------------------------------------------------------------------


def test_two_writers_at_once_leave_one_row_per_key(place: Place) -> None:
    failures = failures_at_once(
        lambda value: write(place, kpi(value=value), kpi("new", value)), writers=4
    )
    assert failures == []
    assert [name for name, _ in place.values()] == ["new", "win_rate"]


def test_a_write_that_takes_too_long_is_cancelled_on_the_server_too(place: Place) -> None:
    write(place, kpi(value=0.1))
    with place.blocked():
        with pytest.raises(SinkError, match=r"within 2 s \(`timeout`\). Nothing was changed"):
            write(place, kpi(value=0.9), timeout=2.0)
        waiting = "select info from information_schema.processlist where info like 'UPDATE%'"
        assert place.run(waiting) == []
    assert place.values() == [("win_rate", 0.1)]


def test_a_connection_dropped_in_the_middle_of_the_rows_is_made_anew(place: Place) -> None:
    write(place, kpi(value=0.1))
    sink = place.sink()
    with place.blocked():
        killer = threading.Thread(target=lambda: place.run(f"kill {place.wait_for_writer()}"))
        killer.start()
        released = threading.Event()
        sink.between = released.set
        writer = threading.Thread(target=sink.write, args=(delivery(table(kpi(value=0.9))),))
        writer.start()
        killer.join()
        assert released.wait(timeout=300)
    writer.join()
    assert sink.pauses == [1.0]
    assert place.values() == [("win_rate", 0.9)]


def test_a_connection_that_always_drops_leaves_the_rows_of_before(place: Place) -> None:
    write(place, kpi(value=0.1))
    sink = place.sink()
    with place.blocked():

        def keep_killing() -> None:
            for _ in range(3):
                place.run(f"kill {place.wait_for_writer()}")

        killer = threading.Thread(target=keep_killing)
        killer.start()
        with pytest.raises(SinkError, match="Nothing was changed"):
            sink.write(delivery(table(kpi(value=0.9), kpi("new", 1.0))))
        killer.join()
    assert sink.pauses == [1.0, 4.0]
    assert place.values() == [("win_rate", 0.1)]


def test_a_server_that_crashes_while_rows_wait_is_waited_for(place: Place) -> None:
    write(place, kpi(value=0.1))
    sink = place.sink()
    with place.blocked():

        def crash() -> None:
            place.wait_for_writer()
            place.server.stop()
            place.server.start()

        crashing = threading.Thread(target=crash)
        sink.between = crashing.join
        crashing.start()
        sink.write(delivery(table(kpi(value=0.9), kpi("new", 1.0))))
        crashing.join()
    assert len(sink.pauses) == 1
    assert place.values() == [("new", 1.0), ("win_rate", 0.9)]


def test_a_server_that_is_away_is_waited_for(place: Place) -> None:
    write(place, kpi(value=0.1))
    place.server.stop()
    sink = place.sink()
    sink.between = place.server.start
    sink.write(delivery(table(kpi(value=0.9))))
    assert sink.pauses == [1.0]
    assert place.values() == [("win_rate", 0.9)]


def test_a_wrong_password_is_told_once_and_not_shown(place: Place) -> None:
    url = place.url.replace("root@", "ann:hunter2hunter2@")
    sink = place.sink(url=Secret(url))
    with pytest.raises(SinkError, match="Access denied") as caught:
        sink.write(delivery())
    assert not hasattr(sink, "pauses")
    [result] = sink.check()
    assert result.state == "error"
    assert "hunter2" not in str(caught.value) + str(result)


def test_check_makes_nothing(place: Place) -> None:
    [result] = place.sink().check()
    assert result.state == "ok"
    assert place.run("show tables") == []
