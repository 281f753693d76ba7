"""The sink `files`: Excel, the wide form, checksums, old periods, object stores."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest
from moto.server import DomainDispatcherApplication, ThreadedMotoServer, create_backend_app
from pydantic import ValidationError
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from crmetrics.plugin import Delivery, SinkContext, SinkError, UnknownOutcomeError
from crmetrics_files import stores
from crmetrics_files.keeping import MANIFEST
from crmetrics_files.replacing import replace_files
from crmetrics_files.sink import FilesOptions, FilesSink
from crmetrics_files.stores import Folder
from result_rows import delivery, kpi, line, message, table
from simulators.dripping import Drip


def sink(folder: Path, **options: Any) -> FilesSink:
    context = SinkContext("reports", folder, project="acme")
    return FilesSink(FilesOptions(**{"path": "out", **options}), context)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out").iterdir())


def week(number: int, job: str = "weekly") -> Delivery:
    """The delivery of the number-th week of 2026."""
    start = date(2025, 12, 29) + timedelta(weeks=number - 1)
    report = replace(message(), period_label=f"2026-W{number:02d}")
    return delivery(
        report=report, job=job, period_start=start, period_end=start + timedelta(weeks=1)
    )


# --- Excel ------------------------------------------------------------------------------------


def opened(folder: Path) -> Any:
    return openpyxl.load_workbook(folder / "out" / "weekly_sales_2026-W05.xlsx")


def test_numbers_days_and_instants_are_what_they_are_in_excel(tmp_path: Path) -> None:
    results = table(kpi(value=0.4, n=7), kpi("won_amount", None, segment={"owner.team": "East"}))
    sink(tmp_path, formats=("xlsx",)).write(delivery(results))
    sheet = opened(tmp_path)["Results"]
    head, first, second = ([cell.value for cell in row] for row in sheet.iter_rows())
    row = dict(zip(head, first, strict=True))
    assert (row["value"], row["n"]) == (0.4, 7)
    assert row["period_start"] == datetime(2026, 1, 26)
    assert row["as_of"] == datetime(2026, 2, 2, 7)
    other = dict(zip(head, second, strict=True))
    assert (other["value"], other["segment"]) == (None, '{"owner.team": "East"}')


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|'/c calc'!A0", "https://x.test", "\t=1", "{=1}"]
)
def test_no_text_runs_or_links_in_excel(tmp_path: Path, name: str) -> None:
    results = table(kpi(goal=name))
    report = message(line(name, value_text=name), title=name, notes=(name,))
    sink(tmp_path, formats=("xlsx",)).write(delivery(results, report))
    book = opened(tmp_path)
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert sum(cell.value == name for cell in cells) >= 4
    assert {cell.data_type for cell in cells if cell.value == name} == {"s"}
    assert all(cell.hyperlink is None for cell in cells)


def test_the_words_of_the_report_have_a_sheet_of_their_own(tmp_path: Path) -> None:
    sink(tmp_path, formats=("xlsx",)).write(delivery())
    texts = [cell.value for row in opened(tmp_path)["Report"].iter_rows() for cell in row]
    assert {"acme: weekly sales 2026-W05", "Win rate", "40.0 %", "Currency USD"} <= set(texts)


def test_the_same_delivery_gives_the_same_bytes(tmp_path: Path) -> None:
    given = delivery(report=replace(message(), created_at=datetime(2026, 2, 2, tzinfo=UTC)))
    one, other = (
        sink(tmp_path / name, formats=("xlsx",)).write(given).reference for name in ("a", "b")
    )
    assert one == other


def test_a_text_longer_than_a_cell_is_cut_and_the_file_is_whole(tmp_path: Path) -> None:
    sink(tmp_path, formats=("xlsx",)).write(delivery(table(kpi(goal="x" * 40_000))))
    values = [cell.value for row in opened(tmp_path)["Results"].iter_rows() for cell in row]
    assert "x" * 32_766 + "…" in values


# --- wide -------------------------------------------------------------------------------------


def test_the_wide_form_has_a_column_per_kpi_and_dimension(tmp_path: Path) -> None:
    results = table(
        kpi(value=0.4),
        kpi("won_amount", 100.0),
        kpi("won_amount", None, variant="median"),
        kpi(value=0.5, segment={"owner.team": "East"}),
        kpi("won_amount", 60.0, segment={"owner.team": "East"}),
        kpi("won_amount", 40.0, segment={"lead_source": "web"}),
    )
    sink(tmp_path, form="wide", formats=("csv", "parquet", "json", "xlsx")).write(delivery(results))
    stem = tmp_path / "out" / "weekly_sales_2026-W05"
    assert stem.with_suffix(".csv").read_text() == (
        "period_start,period_end,grain,owner.team,lead_source,win_rate,won_amount,won_amount.median\n"
        "2026-01-26,2026-02-02,week,,,0.4,100.0,\n"
        "2026-01-26,2026-02-02,week,East,,0.5,60.0,\n"
        "2026-01-26,2026-02-02,week,,web,,40.0,\n"
    )
    assert pq.read_table(stem.with_suffix(".parquet")).column("won_amount").to_pylist() == [
        100.0, 60.0, 40.0,
    ]  # fmt: skip
    assert json.loads(stem.with_suffix(".json").read_text())[2]["win_rate"] is None
    assert opened(tmp_path)["Results"]["H1"].value == "won_amount.median"


def test_a_dimension_called_like_a_kpi_keeps_its_column(tmp_path: Path) -> None:
    results = table(
        kpi("team", 1.0, segment={"team": "East"}), kpi("x", 1.0, segment={"grain": "a"})
    )
    sink(tmp_path, form="wide").write(delivery(results))
    [head, *_] = (tmp_path / "out" / "weekly_sales_2026-W05.csv").read_text().splitlines()
    assert head == "period_start,period_end,grain,by team,by grain,team,x"


def test_the_wide_form_of_nothing_has_its_head(tmp_path: Path) -> None:
    sink(tmp_path, form="wide").write(delivery(table()))
    text = (tmp_path / "out" / "weekly_sales_2026-W05.csv").read_text()
    assert text == "period_start,period_end,grain\n"


# --- checksums and old periods ----------------------------------------------------------------


def test_checksums_are_those_that_the_usual_tool_checks(tmp_path: Path) -> None:
    sink(tmp_path, formats=("csv", "json"), checksums=True).write(delivery())
    done = subprocess.run(
        ["sha256sum", "--check", "weekly_sales_2026-W05.sha256"],
        cwd=tmp_path / "out", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("OK") == 2


_KILLED = """
import os, signal, sys
from pathlib import Path
from crmetrics_files.replacing import replace_files

moves, left = Path.replace, int(sys.argv[2])
def counted(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    moves(self, target)
Path.replace = counted

folder = Path(sys.argv[1])
write = lambda path: path.write_text("new") and None
replace_files({folder / "a.csv": write, folder / "a.json": write}, folder / "a.sha256")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("moves", [0, 1, 2, 3])
def test_a_kill_leaves_no_checksum_that_does_not_fit(tmp_path: Path, moves: int) -> None:
    files = [tmp_path / "a.csv", tmp_path / "a.json"]

    def replaced(text: str) -> None:
        replace_files(
            {file: lambda path: path.write_text(text) and None for file in files},
            tmp_path / "a.sha256",
        )

    def fitting() -> str:
        return "".join(
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files
        )

    replaced("old")
    words = [sys.executable, "-c", _KILLED, str(tmp_path), str(moves)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    sums = tmp_path / "a.sha256"
    assert sums.exists() == (moves == 0)
    assert not sums.exists() or sums.read_text() == fitting()
    replaced("last")
    assert sums.read_text() == fitting()
    assert sorted(tmp_path.iterdir()) == [*files, sums]


def test_checksums_that_cannot_be_written_leave_the_files_as_they_were(tmp_path: Path) -> None:
    latest = sink(tmp_path, name="latest", checksums=True)
    latest.write(week(1))
    before = (tmp_path / "out" / "latest.csv").read_bytes()
    (tmp_path / "out" / "latest.sha256").unlink()
    (tmp_path / "out" / "latest.sha256").mkdir()
    with pytest.raises(SinkError, match=r"latest\.sha256 could not be written: Is a directory"):
        latest.write(replace(week(2), results=table(kpi(value=0.9))))
    assert (tmp_path / "out" / "latest.csv").read_bytes() == before
    assert names(tmp_path) == ["latest.csv", "latest.sha256"]


def test_files_that_cannot_be_moved_leave_the_checksums_of_what_is_there(tmp_path: Path) -> None:
    writing = sink(tmp_path, checksums=True)
    writing.write(week(1))
    sums = tmp_path / "out" / "weekly_2026-W01.sha256"
    before = sums.read_text()
    (tmp_path / "out" / "weekly_2026-W01.csv").unlink()
    (tmp_path / "out" / "weekly_2026-W01.csv").mkdir()
    with pytest.raises(SinkError, match="Is a directory"):
        writing.write(week(1))
    assert sums.read_text() == before


def test_a_report_of_which_one_file_is_new_counts_as_maybe_there(tmp_path: Path) -> None:
    writing = sink(tmp_path, formats=("csv", "json"), checksums=True, name="latest")
    writing.write(week(1))
    (tmp_path / "out" / "latest.json").unlink()
    (tmp_path / "out" / "latest.json").mkdir()
    with pytest.raises(UnknownOutcomeError, match="Other files of this report are new"):
        writing.write(week(2))
    assert names(tmp_path) == ["latest.csv", "latest.json"]


def test_a_report_counts_as_there_when_old_files_cannot_be_removed(tmp_path: Path) -> None:
    keeping = sink(tmp_path, keep=1)
    keeping.write(week(1))
    (tmp_path / "out" / "weekly_2026-W01.csv").unlink()
    (tmp_path / "out" / "weekly_2026-W01.csv").mkdir()
    receipt = keeping.write(week(2))
    assert "out/weekly_2026-W01.csv: " in receipt.missing
    assert "the report is there" in receipt.missing
    assert (tmp_path / "out" / "weekly_2026-W02.csv").is_file()
    (tmp_path / "out" / "weekly_2026-W01.csv").rmdir()
    assert keeping.write(week(2)).missing == ""


def test_only_the_last_periods_of_a_job_are_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "weekly_2020-W01.csv").write_text("mine")
    keeping = sink(tmp_path, keep=2, checksums=True)
    for number in (1, 3, 2, 4):
        receipt = keeping.write(week(number))
    keeping.write(week(1, job="other"))
    assert names(tmp_path) == [
        MANIFEST, "other_2026-W01.csv", "other_2026-W01.sha256", "weekly_2020-W01.csv",
        "weekly_2026-W03.csv", "weekly_2026-W03.sha256", "weekly_2026-W04.csv",
        "weekly_2026-W04.sha256",
    ]  # fmt: skip
    assert receipt.details["removed"] == ["weekly_2026-W02.sha256", "weekly_2026-W02.csv"]


def test_sinks_that_share_a_folder_keep_each_its_own_number_of_periods(tmp_path: Path) -> None:
    options = {"path": "out", "keep": 3, "formats": ("json",)}
    other = FilesSink(FilesOptions(**options), SinkContext("lake", tmp_path))  # type: ignore[arg-type]
    for number in (1, 2, 3, 4):
        sink(tmp_path, keep=1).write(week(number))
        other.write(week(number))
    assert names(tmp_path) == [
        MANIFEST, "weekly_2026-W02.json", "weekly_2026-W03.json", "weekly_2026-W04.csv",
        "weekly_2026-W04.json",
    ]  # fmt: skip


def test_a_repeat_of_a_period_counts_once(tmp_path: Path) -> None:
    keeping = sink(tmp_path, keep=2)
    for number in (1, 2, 2, 2):
        keeping.write(week(number))
    assert names(tmp_path) == [MANIFEST, "weekly_2026-W01.csv", "weekly_2026-W02.csv"]


def test_a_file_that_every_period_shares_is_never_removed(tmp_path: Path) -> None:
    keeping = sink(tmp_path, keep=1, name="{job}_latest")
    for number in (1, 2, 3):
        keeping.write(week(number))
    assert names(tmp_path) == [MANIFEST, "weekly_latest.csv"]


def test_a_kill_before_old_files_are_gone_leaves_them_to_the_next_delivery(
    tmp_path: Path,
) -> None:
    class Killed(Folder):
        def remove(self, name: str) -> None:
            raise KeyboardInterrupt

    for number in (1, 2):
        sink(tmp_path, keep=2).write(week(number))
    dying = sink(tmp_path, keep=1)
    dying.__dict__["_store"] = Killed(Path("out"), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        dying.write(week(3))
    assert len(names(tmp_path)) == 4
    sink(tmp_path, keep=1).write(week(3))
    assert names(tmp_path) == [MANIFEST, "weekly_2026-W03.csv"]


# --- object stores ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Bucket:
    """A bucket of its own, its sink, and a second way to look inside."""

    def __init__(self, address: str, name: str, folder: Path) -> None:
        import boto3

        self.address, self.name, self.folder = address, name, folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._client = boto3.client(
                "s3", endpoint_url=address, aws_access_key_id="a", aws_secret_access_key="b",
                region_name="us-east-1",
            )  # fmt: skip
            self._client.create_bucket(Bucket=name)

    def sink(self, **options: Any) -> FilesSink:
        storage = {
            "key": "test-key-id",
            "secret": "s3-secret-0123456789",
            "endpoint_url": self.address,
        }
        return sink(
            self.folder, **{"path": f"s3://{self.name}/reports", "storage": storage, **options}
        )

    @property
    def files(self) -> dict[str, bytes]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            listed = self._client.list_objects_v2(Bucket=self.name).get("Contents", [])
            return {
                entry["Key"]: self._client.get_object(Bucket=self.name, Key=entry["Key"])[
                    "Body"
                ].read()
                for entry in listed
            }


@pytest.fixture
def bucket(s3: str, tmp_path: Path, request: pytest.FixtureRequest) -> Bucket:
    return Bucket(s3, f"b{abs(hash(request.node.name)) % 10**9}", tmp_path)


def test_files_arrive_in_a_bucket_as_they_would_in_a_folder(bucket: Bucket) -> None:
    receipt = bucket.sink(formats=("csv", "xlsx"), checksums=True).write(delivery())
    found = bucket.files
    stem = "reports/weekly_sales_2026-W05"
    assert sorted(found) == [f"{stem}.csv", f"{stem}.sha256", f"{stem}.xlsx"]
    for entry in receipt.details["files"]:
        content = found[str(entry["path"]).removeprefix(f"s3://{bucket.name}/")]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (
            entry["bytes"], entry["sha256"],
        )  # fmt: skip
    assert receipt.destination == f"s3://{bucket.name}/{stem}.{{csv,xlsx}}"
    assert not (bucket.folder / "out").exists()


def test_a_repeat_replaces_and_old_periods_go_in_a_bucket_too(bucket: Bucket) -> None:
    keeping = bucket.sink(keep=1, formats=("csv",))
    for number in (1, 2, 2):
        keeping.write(week(number))
    assert sorted(bucket.files) == [f"reports/{MANIFEST}", "reports/weekly_2026-W02.csv"]


def test_an_upload_that_stops_leaves_no_checksums_of_other_files(bucket: Bucket) -> None:
    class Stopping(stores.Bucket):
        def _upload(self, draft: Path, name: str) -> dict[str, Any]:
            if name.endswith(".json"):
                raise stores.StoreError("the server went away", name)
            return super()._upload(draft, name)

    options = {"formats": ("csv", "json"), "checksums": True, "name": "latest"}
    bucket.sink(**options).write(week(1))
    stopping = bucket.sink(**options)
    stopping.__dict__["_store"] = Stopping(stopping.config.path, stopping.config.storage, 60)
    with pytest.raises(UnknownOutcomeError, match="the server went away"):
        stopping.write(week(2))
    assert bucket.files["reports/latest.sha256"] == b""
    bucket.sink(**options).write(week(2))
    listed = bucket.files["reports/latest.sha256"].decode().split()[::2]
    held = [bucket.files[f"reports/latest.{kind}"] for kind in ("csv", "json")]
    assert listed == [hashlib.sha256(one).hexdigest() for one in held]


@pytest.fixture
def unlisted(s3: str) -> Iterator[str]:
    """The same server to a role without s3:ListBucket: what is not there is forbidden."""
    app = DomainDispatcherApplication(create_backend_app)

    def narrowed(environ: dict[str, Any], start: Any) -> Any:
        answer = Response.from_app(app, environ)
        is_reading = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        has_key = environ["PATH_INFO"].strip("/").count("/") > 0
        if is_reading and (answer.status_code == 404 or not has_key):
            body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            answer = Response(body, 403, mimetype="application/xml")
        return answer(environ, start)

    with served(narrowed) as address:
        yield address


@contextmanager
def served(application: Callable[[dict[str, Any], Any], Any]) -> Iterator[str]:
    """The address of a WSGI application on loopback."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def test_checksums_need_no_right_to_list_a_bucket(bucket: Bucket, unlisted: str) -> None:
    bucket.address = unlisted
    for number in (1, 1, 2):
        bucket.sink(checksums=True, name="latest").write(week(number))
    found = bucket.files
    digest = hashlib.sha256(found["reports/latest.csv"]).hexdigest()
    assert found["reports/latest.sha256"].decode() == f"{digest}  latest.csv\n"


def test_keep_says_that_it_needs_the_right_to_list_and_the_report_is_there(
    bucket: Bucket, unlisted: str
) -> None:
    bucket.address = unlisted
    for number in (1, 2):
        receipt = bucket.sink(keep=1).write(week(number))
        assert "the report is there, but files of old periods could not be removed" in (
            receipt.missing
        )
        assert "`keep` needs the rights to list (s3:ListBucket)" in receipt.missing
    stem = "reports/weekly_2026-W"
    assert sorted(bucket.files) == [f"{stem}01.csv", f"{stem}02.csv"]


@pytest.mark.parametrize(
    ("options", "state", "said"),
    [
        ({"keep": 1}, "error", "`keep` needs the rights to list (s3:ListBucket)"),
        ({}, "warning", "Nothing to do while reports arrive"),
    ],
)
def test_check_tells_that_a_bucket_may_not_be_listed(
    bucket: Bucket, unlisted: str, options: dict[str, Any], state: str, said: str
) -> None:
    bucket.address = unlisted
    [found] = bucket.sink(**options).check()
    assert (found.state, bucket.files) == (state, {})
    assert "may not be listed" in found.message
    assert said in found.fix


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_a_wrong_key_of_a_bucket_is_an_error_of_the_check(bucket: Bucket, code: str) -> None:
    def refused(environ: dict[str, Any], start: Any) -> Any:
        body = f"<Error><Code>{code}</Code><Message>no such key</Message></Error>"
        return Response(body, 403, mimetype="application/xml")(environ, start)

    with served(refused) as bucket.address:
        [found] = bucket.sink().check()
    assert found.state == "error"


def test_a_bucket_that_is_not_there_is_an_error_without_the_secret(bucket: Bucket) -> None:
    absent = bucket.sink(path="s3://no-such-bucket-here/x")
    with pytest.raises(SinkError, match="s3://no-such-bucket-here/x") as caught:
        absent.write(delivery())
    shown = str(caught.value) + repr(absent.config) + absent.preview(delivery())
    [checked] = absent.check()
    assert (checked.state, "s3://no-such-bucket-here does not" in checked.message) == (
        "error",
        True,
    )
    assert "s3-secret-0123456789" not in shown + str(checked)


def test_a_store_that_answers_without_end_is_given_up(tmp_path: Path) -> None:
    late = r"not done within 0.3 s \(`timeout`\)"
    with Drip(b"HTTP/1.1 200 OK\r\nX-Slow: ") as drip:
        storage = {"key": "a", "secret": "b", "endpoint_url": f"http://127.0.0.1:{drip.port}"}
        slow = sink(tmp_path, path="s3://acme/reports", storage=storage, timeout=0.3)
        with pytest.raises(UnknownOutcomeError, match=late):
            slow.write(delivery())
        [found] = slow.check()
    assert found.state == "error"
    assert re.search(late, found.message)


def test_what_was_given_up_does_not_keep_back_the_next_run(bucket: Bucket, tmp_path: Path) -> None:
    late = bucket.sink(formats=("csv",), timeout=1e-9)
    with pytest.raises(UnknownOutcomeError, match="may be new already, each whole; run again"):
        late.write(delivery())
    bucket.sink(formats=("csv",)).write(delivery())
    assert len(bucket.files) == 1


def test_check_of_a_bucket_writes_nothing(bucket: Bucket) -> None:
    [result] = bucket.sink().check()
    assert (result.state, bucket.files) == ("ok", {})


def test_files_arrive_in_google_cloud_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else gcsfs asks for the kind of bucket by gRPC, which no emulator answers.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="no emulator is installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="acme")
    server.start()
    try:
        storage = {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon"}
        there = sink(tmp_path, path="gs://acme/kpis", storage=storage, keep=1)
        assert [one.state for one in there.check()] == ["ok"]
        for number in (1, 2, 2):
            receipt = there.write(week(number))
        content = there._store.read("weekly_2026-W02.csv")
        assert content is not None
        [entry] = receipt.details["files"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert there._store.read("weekly_2026-W01.csv") is None
        absent = sink(tmp_path, path="gs://none-there/kpis", storage=storage)
        assert [one.state for one in absent.check()] == ["error"]
    finally:
        server.stop()


def test_a_store_whose_extra_is_missing_names_it(tmp_path: Path) -> None:
    if importlib.util.find_spec("gcsfs") is not None:
        pytest.skip("the extra is installed")
    with pytest.raises(SinkError, match=r"pip install 'crmetrics\[gcs\]'"):
        sink(tmp_path, path="gs://bucket/x").write(delivery())


def test_storage_needs_a_store() -> None:
    with pytest.raises(ValidationError, match="storage is for object stores"):
        FilesOptions(path="out", storage={"key": "x"})  # type: ignore[dict-item]
