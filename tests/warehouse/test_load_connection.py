"""The connection: settings, lock-down, interruption, and what it says when it cannot open."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from msgspec.structs import replace

from crmetrics.errors import (
    QueryError,
    QueryTimeoutError,
    WarehouseError,
    WarehouseLockedError,
)
from crmetrics.secrets import Secret
from crmetrics.warehouse.connection import (
    Connection,
    EngineSettings,
    connect,
    connect_for_expressions,
    connect_scratch,
)
from crmetrics.warehouse.feed import FEED, feed

ENDLESS = "select count(*) from range(100000000) a, range(100000) b"


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    path = tmp_path / "new" / "folder" / "warehouse.duckdb"
    return EngineSettings(path, threads=1, lock_timeout_s=0)


@pytest.fixture
def connection(settings: EngineSettings) -> Iterator[Connection]:
    with connect(settings, read_only=False) as opened:
        yield opened


# --- settings --------------------------------------------------------------------------------


def test_the_settings_hold_on_both_kinds_of_connection(settings: EngineSettings) -> None:
    asked = "select 1/0, 0/0, 1//0, 1%0, current_setting('TimeZone'), current_setting('threads')"
    chosen = replace(settings, timezone="America/New_York", memory_limit="300MB")
    for read_only in (False, True):
        with connect(chosen, read_only=read_only) as opened:
            assert opened.rows(asked) == [(None, None, None, None, "America/New_York", 1)]
            assert opened.scalar("select current_setting('memory_limit')") == "286.1 MiB"
            assert opened.scalar("select current_setting('enable_progress_bar')") is False


def test_a_small_file_is_read_by_one_thread(settings: EngineSettings) -> None:
    asked = "select current_setting('threads')"
    chosen = replace(settings, threads=None)
    with connect(chosen, read_only=False) as writing:
        per_core = writing.scalar(asked)
    with connect(chosen, read_only=True) as reading:
        assert reading.scalar(asked) == 1
    with connect(replace(settings, threads=3), read_only=True) as reading:
        assert reading.scalar(asked) == 3
    with connect(chosen, read_only=False) as writing:
        writing.execute("create table large as select hash(i) as h from range(5_000_000) r(i)")
    with connect(chosen, read_only=True) as reading:
        assert reading.scalar(asked) == per_core


def test_a_second_read_only_connection_has_the_same_settings(settings: EngineSettings) -> None:
    chosen = replace(settings, timezone="Asia/Tokyo")
    connect(chosen, read_only=False).close()
    with connect(chosen, read_only=True) as first, connect(chosen, read_only=True) as second:
        for opened in (first, second):
            assert opened.rows("select 1/0, current_setting('TimeZone')") == [(None, "Asia/Tokyo")]


def test_only_a_connection_that_writes_puts_tables_in_order_on_the_way(
    settings: EngineSettings,
) -> None:
    threshold = "select current_setting('checkpoint_threshold')"
    with connect(settings, read_only=False) as opened:
        # DuckDB's own: the log of the file stays short.
        assert opened.scalar(threshold) == "16.0 MiB"
    with connect(settings, read_only=True) as first, connect(settings, read_only=True) as second:
        for opened in (first, second):
            assert opened.scalar(threshold) == "931.3 GiB"


def test_a_second_connection_with_another_zone_is_refused(settings: EngineSettings) -> None:
    connect(settings, read_only=False).close()
    with (
        connect(settings, read_only=True),
        pytest.raises(WarehouseError, match=r"holds it open with TimeZone = UTC, wanted was Asia"),
    ):
        connect(replace(settings, timezone="Asia/Tokyo"), read_only=True)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('{file}')",
        "select * from '{file}'",
        "select * from glob('*')",
        "copy (select 1) to '{file}'",
        "attach '{file}.db'",
        "install httpfs",
        "load httpfs",
        "set timezone = 'UTC'",
        "set memory_limit = '1GB'",
        "reset timezone",
        "create table t (a int)",
        "create schema s",
        "select * from python_variable",
        "export database '{file}'",
    ],
)
def test_sql_of_a_read_only_connection_reaches_nothing(
    settings: EngineSettings, tmp_path: Path, sql: str
) -> None:
    python_variable = pa.table({"a": [1]})
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    connect(settings, read_only=False).close()
    with connect(settings, read_only=True) as opened:
        with pytest.raises(QueryError):
            opened.execute(sql.format(file=file))
        assert opened.scalar("select 1") == 1
    assert python_variable.num_rows == 1


def test_sql_of_a_writing_connection_reaches_no_file_either(
    connection: Connection, tmp_path: Path
) -> None:
    with pytest.raises(QueryError, match="disabled by configuration"):
        connection.execute(f"copy (select 1) to '{tmp_path}/out.csv'")


def test_a_scratch_connection_is_alone(settings: EngineSettings) -> None:
    with connect_scratch("UTC") as first, connect_scratch("UTC") as second:
        first.execute("create table t as select 1")
        with pytest.raises(QueryError, match="does not exist"):
            second.execute("select * from t")
        with pytest.raises(QueryError, match="locked"):
            first.execute("set threads = 2")


def test_connections_for_expressions_share_nothing_but_the_cost() -> None:
    rows = {name: pa.table({"a": [name]}) for name in ("first", "second")}
    moment = "select strftime('2026-01-01 12:00'::timestamp::timestamptz at time zone 'UTC', '%H')"
    with (
        connect_for_expressions("Asia/Tokyo") as first,
        connect_for_expressions("Asia/Tokyo") as second,
        connect_for_expressions("UTC") as elsewhere,
    ):
        first.register("rows", rows["first"])
        second.register("rows", rows["second"])
        assert [first.rows("from rows"), second.rows("from rows")] == [[("first",)], [("second",)]]
        with pytest.raises(QueryError, match="does not exist"):
            elsewhere.rows("from rows")
        assert [one.scalar(moment) for one in (first, second, elsewhere)] == ["03", "03", "12"]
        for one in (first, second):
            with pytest.raises(QueryError, match="locked"):
                one.execute("set threads = 2")
            with pytest.raises(QueryError, match="disabled by configuration"):
                one.rows("from read_csv('/etc/passwd')")
        assert second.rows("select 1 / 0, 1 // 0") == [(None, None)]
        second.close()
        assert first.rows("from rows") == [("first",)]
    with connect_for_expressions("Asia/Tokyo") as again:
        with pytest.raises(QueryError, match="does not exist"):
            again.rows("from rows")
        assert again.scalar(moment) == "03"


def test_an_expression_is_interrupted_without_its_neighbour() -> None:
    with connect_for_expressions("UTC") as slow, connect_for_expressions("UTC") as other:
        running = slow.begin("select count(*) from range(100000000000) where hash(range) = 1")
        assert other.scalar("select 41 + 1") == 42
        slow.interrupt(running)
        assert type(running.exception()).__name__ == "InterruptException"
        assert (slow.scalar("select 1"), other.scalar("select 1")) == (1, 1)


def test_spilling_goes_to_the_folder_of_the_settings(
    settings: EngineSettings, tmp_path: Path
) -> None:
    spill = tmp_path / "a" / "b" / "spill"
    chosen = replace(settings, memory_limit="60MB", spill_directory=spill)
    big = "select md5(range::varchar) as a, md5((range + 1)::varchar) as b from range(1000000)"
    with connect(chosen, read_only=False) as opened:
        assert opened.execute(f"create temp table t as {big} order by a") == 1_000_000
        assert any(spill.iterdir())
    assert not spill.exists()


# --- results ---------------------------------------------------------------------------------


def test_execute_gives_the_number_of_changed_rows(connection: Connection) -> None:
    assert connection.execute("create table t (a int)") == 0
    assert connection.execute("insert into t values (1), (2), (3)") == 3
    assert connection.execute("update t set a = 0 where a > ?", [1]) == 2
    assert connection.execute("delete from t where a = $a", {"a": 1}) == 1
    assert connection.execute("select * from t") == 0


def test_an_unread_query_does_not_block_the_next_statement(connection: Connection) -> None:
    connection.execute("select * from range(1000000)")
    assert connection.arrow("select 1 as a").to_pylist() == [{"a": 1}]


def test_a_result_streams_in_batches(connection: Connection) -> None:
    reader = connection.reader("select range as a from range(5000) where range >= ?", [1000])
    assert sum(batch.num_rows for batch in reader) == 4000
    assert connection.scalar("select 1") == 1


def test_a_stream_that_is_left_early_frees_the_connection(connection: Connection) -> None:
    reader = connection.reader("select range as a from range(1000000)", batch_rows=2048)
    assert reader.read_next_batch().num_rows > 0
    with pytest.raises(QueryError, match="open result"):
        connection.scalar("select 1")
    del reader
    assert connection.scalar("select 1") == 1


def test_a_registered_table_is_readable_until_it_is_unregistered(connection: Connection) -> None:
    connection.register("given", pa.table({"a": [1, 2]}))
    assert connection.scalar("select sum(a) from given") == 3
    connection.unregister("given")
    with pytest.raises(QueryError, match="given"):
        connection.scalar("select sum(a) from given")


def test_a_transaction_is_all_or_nothing(connection: Connection) -> None:
    connection.execute("create table t (a int)")
    with connection.transaction():
        connection.execute("insert into t values (1)")
    with pytest.raises(QueryError), connection.transaction():
        connection.execute("insert into t values (2)")
        connection.execute("insert into nowhere values (3)")
    with pytest.raises(KeyboardInterrupt), connection.transaction():
        connection.execute("insert into t values (4)")
        raise KeyboardInterrupt
    assert connection.rows("select a from t") == [(1,)]


def test_an_error_that_is_caught_inside_does_not_lose_a_transaction_in_silence(
    connection: Connection,
) -> None:
    connection.execute("create table t (a int)")
    with pytest.raises(QueryError, match="transaction is aborted"), connection.transaction():
        connection.execute("insert into t values (1)")
        with suppress(QueryError):
            connection.execute("select a from nowhere")
    assert connection.rows("select a from t") == []


@pytest.mark.parametrize(("threads", "fewer"), [(1, 1), (2, 1), (4, 3)])
def test_a_core_is_left_to_the_caller_and_taken_back(
    settings: EngineSettings, threads: int, fewer: int
) -> None:
    asked = "select current_setting('threads')"
    with connect(replace(settings, threads=threads), read_only=False) as opened:
        found = []
        for is_left in (True, True, False, True):
            opened.leave_a_core(is_left)
            found.append(opened.scalar(asked))
    assert found == [fewer, fewer, threads, fewer]


def test_closing_twice_is_fine_and_ends_the_thread(settings: EngineSettings) -> None:
    before = threading.active_count()
    opened = connect(settings, read_only=False)
    assert opened.scalar("select 1") == 1
    opened.close()
    opened.close()
    assert threading.active_count() == before


# --- errors and interruption -----------------------------------------------------------------


def test_an_error_shows_duckdbs_message_and_the_statement_without_secrets(
    connection: Connection,
) -> None:
    Secret("hunter2-hunter2")
    with pytest.raises(QueryError) as caught:
        connection.execute("select amuont, 'hunter2-hunter2'\nfrom (select 1 as amount)")
    text = str(caught.value)
    assert 'Referenced column "amuont" not found' in text
    assert "in: select amuont, '********'\nfrom (select 1 as amount)" in text
    assert "hunter2" not in text


def test_a_long_statement_is_shown_by_its_beginning(connection: Connection) -> None:
    with pytest.raises(QueryError) as caught:
        connection.execute("select\n" + ",\n".join(f"column_{n}" for n in range(50)))
    assert "column_4,\n..." in str(caught.value)
    assert "column_40" not in str(caught.value)


def test_a_statement_stops_at_its_limit_and_the_connection_goes_on(
    settings: EngineSettings,
) -> None:
    with connect(replace(settings, statement_timeout_s=0.2), read_only=False) as opened:
        with pytest.raises(QueryTimeoutError, match=r"limit of 0\.2 s.*\n?in: select count"):
            opened.execute(ENDLESS)
        assert opened.scalar("select 1") == 1


def test_ctrl_c_stops_a_statement_and_the_connection_goes_on(connection: Connection) -> None:
    def endless_rows() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": [1]})
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            yield pa.record_batch({"a": [1]})

    schema = pa.schema([("a", pa.int64())])
    connection.register("given", pa.RecordBatchReader.from_batches(schema, endless_rows()))
    with pytest.raises(KeyboardInterrupt):
        connection.execute("select sum(a) from given")
    assert connection.scalar("select 1") == 1


# --- fed statements --------------------------------------------------------------------------


def batches_of(count: int) -> Iterator[pa.RecordBatch]:
    for number in range(count):
        yield pa.record_batch({"a": [number]})


NUMBERS = pa.schema([("a", pa.int64())])


def test_a_statement_is_fed_from_the_callers_thread(connection: Connection) -> None:
    threads = set()

    def watched() -> Iterator[pa.RecordBatch]:
        for batch in batches_of(20):
            threads.add(threading.current_thread())
            yield batch

    connection.execute("create table t (a bigint)")
    changed = feed(connection, f"insert into t select a from {FEED}", NUMBERS, watched())
    assert (changed, connection.scalar("select sum(a) from t")) == (20, 190)
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_feed_that_fails_stores_nothing_and_raises_its_own_error(
    connection: Connection, kind: type[BaseException]
) -> None:
    error = kind("page 7")

    def failing() -> Iterator[pa.RecordBatch]:
        yield from batches_of(10)
        raise error

    connection.execute("create table t (a bigint)")
    with pytest.raises(kind) as caught:
        feed(connection, f"insert into t select a from {FEED}", NUMBERS, failing())
    assert caught.value is error
    assert connection.scalar("select count(*) from t") == 0


def test_a_fed_statement_that_fails_stops_the_feed(connection: Connection) -> None:
    taken = []

    def endless() -> Iterator[pa.RecordBatch]:
        while True:
            taken.append(1)
            yield pa.record_batch({"a": [len(taken)]})

    connection.execute("create table t (a tinyint)")
    with pytest.raises(QueryError, match="out of range"):
        feed(connection, f"insert into t select a from {FEED}", NUMBERS, endless())
    with pytest.raises(QueryError, match="nowhere"):
        feed(connection, f"insert into nowhere select a from {FEED}", NUMBERS, endless())
    assert connection.scalar("select 1") == 1


# --- opening ---------------------------------------------------------------------------------


def content_of_a_database(folder: Path) -> bytes:
    file = folder / "other.duckdb"
    with duckdb.connect(str(file)) as opened:
        opened.execute("create table theirs as select range from range(100000)")
    return file.read_bytes()


def test_the_folder_of_the_file_is_made(settings: EngineSettings) -> None:
    connect(settings, read_only=False).close()
    assert settings.path.is_file()


def test_a_missing_file_is_not_made_for_reading(settings: EngineSettings) -> None:
    with pytest.raises(WarehouseError, match=r"there is no such file\. Load data first: crmetrics"):
        connect(settings, read_only=True)
    assert not settings.path.exists()


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"id,name\n1,x\n" * 1000, r"not a valid DuckDB database file.*another file"),
        (lambda _: b"SQLite format 3\x00" + bytes(8000), r"another file under `warehouse:`"),
        (lambda good: good[:5000], r"Could not read enough bytes.*Restore it from a backup"),
        (lambda good: good[:8] + b"\x00" * 4 + good[12:], "not a valid DuckDB database file"),
        (
            lambda good: good[:4096] + bytes(100) + good[4196:],
            r"Corrupt database file.*Restore it from a backup.*crmetrics sync --full",
        ),
    ],
    ids=["text", "sqlite", "cut", "no-magic", "checksum"],
)
def test_a_file_that_is_no_warehouse_is_named_with_the_way_out(
    tmp_path: Path, damage: object, message: str, read_only: bool
) -> None:
    assert callable(damage)
    path = tmp_path / "w.duckdb"
    path.write_bytes(damage(content_of_a_database(tmp_path)))
    before = path.read_bytes()
    with pytest.raises(WarehouseError, match=message) as caught:
        connect(EngineSettings(path, lock_timeout_s=0), read_only=read_only)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"it is a folder. Name a file under `warehouse:`"):
        connect(EngineSettings(tmp_path), read_only=False)


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WarehouseError, match="File exists"):
        connect(EngineSettings(tmp_path / "file" / "w.duckdb"), read_only=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WarehouseError, match="read and write access"):
            connect(EngineSettings(tmp_path / "w.duckdb"), read_only=False)
    finally:
        tmp_path.chmod(0o700)


def test_an_empty_file_left_by_a_killed_process_is_made_anew(settings: EngineSettings) -> None:
    settings.path.parent.mkdir(parents=True)
    settings.path.touch()
    with pytest.raises(WarehouseError):  # it may be in the making just now
        connect(settings, read_only=False)
    os.utime(settings.path, (0, 0))
    with connect(settings, read_only=False) as opened:
        assert opened.scalar("select 1") == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("timezone", "Mars/Olympus", r"Unknown TimeZone 'Mars/Olympus'.*IANA name"),
        ("memory_limit", "plenty", r"settings under `warehouse:`.*memory_limit such as 2GB"),
        ("threads", 0, r"settings under `warehouse:`"),
    ],
)
def test_a_wrong_setting_names_the_setting(
    settings: EngineSettings, name: str, value: object, message: str
) -> None:
    with pytest.raises(WarehouseError, match=f"(?s){message}"):
        connect(replace(settings, **{name: value}), read_only=False)


# --- locks -----------------------------------------------------------------------------------

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(settings: EngineSettings) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the file until a line reaches its standard input."""
    settings.path.parent.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_locked_file_names_its_holder(
    settings: EngineSettings, holder: subprocess.Popen[str], read_only: bool
) -> None:
    with pytest.raises(WarehouseLockedError) as caught:
        connect(settings, read_only=read_only)
    text = str(caught.value)
    assert f"(PID {holder.pid})" in text
    assert "python" in text
    assert "Let it finish or end it, then run the command again" in text


def test_a_locked_file_is_waited_for_and_the_wait_is_told(
    settings: EngineSettings, holder: subprocess.Popen[str], caplog: pytest.LogCaptureFixture
) -> None:
    class LetGo(logging.Handler):
        """The holder lets go once the wait has been told."""

        def emit(self, record: logging.LogRecord) -> None:
            assert holder.stdin is not None
            holder.stdin.write("\n")
            holder.stdin.flush()

    listener = LetGo()
    logger = logging.getLogger("crmetrics.warehouse.connection")
    logger.addHandler(listener)
    try:
        with connect(replace(settings, lock_timeout_s=60), read_only=False) as opened:
            assert opened.scalar("select 1") == 1
    finally:
        logger.removeHandler(listener)
    assert len(caplog.messages) == 1
    assert f"PID {holder.pid}" in caplog.messages[0]
    assert "Waiting up to 60 s" in caplog.messages[0]


def test_a_session_of_this_process_with_other_settings_is_a_lock_too(
    settings: EngineSettings,
) -> None:
    with (
        connect(settings, read_only=False),
        pytest.raises(WarehouseLockedError, match="open in this process with other settings"),
    ):
        connect(settings, read_only=True)


def test_a_stream_that_somebody_still_holds_does_not_hold_the_file(
    settings: EngineSettings,
) -> None:
    again = """
import sys
from pathlib import Path
from crmetrics.warehouse.connection import EngineSettings, connect
settings = EngineSettings(Path(sys.argv[1]))
with connect(settings, read_only=False) as first:
    first.execute("create table deals as select range as id from range(1000000)")
    kept = first.committed("from deals", {}, batch_rows=1000)
    kept.read_next_batch()
with connect(settings, read_only=True) as second:
    print(second.scalar("select count(*) from deals"))
"""
    command = [sys.executable, "-c", again, str(settings.path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "1000000\n"


@pytest.mark.parametrize("name", ["crm", "meta", "Temp", "main"])
def test_a_file_name_that_duckdb_would_confuse_with_a_schema_is_refused(
    name: str, tmp_path: Path
) -> None:
    settings = EngineSettings(tmp_path / f"{name}.duckdb")
    with pytest.raises(WarehouseError, match=f"{name}_warehouse.duckdb"):
        connect(settings, read_only=False)
