"""Forms of results and files that are written whole."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crmetrics.cli.console import Console
from crmetrics.cli.output import Format, choose_format, write_table, write_text
from crmetrics.cli.text_table import TextTable, make_table
from crmetrics.errors import UsageError

DATA = pa.table({"kpi": ["win_rate", "naïve 東"], "value": [0.25, None]})


def as_text() -> TextTable:
    return make_table(["kpi"], [["win_rate"]])


def write(form: Format, output: Path | None = None) -> None:
    write_table(lambda: DATA, form, output, Console(), as_text=as_text)


@pytest.mark.parametrize(
    ("form", "file", "chosen"),
    [
        (None, None, "table"),
        (None, "x.csv", "csv"),
        (None, "x.JSON", "json"),
        (None, "x.parquet", "parquet"),
        (None, "x.txt", "table"),
        ("json", "x.csv", "json"),
    ],
)
def test_the_form_is_the_one_asked_for_else_the_ending(
    form: Format | None, file: str | None, chosen: str
) -> None:
    assert choose_format(form, Path(file) if file else None) == chosen


def test_parquet_needs_a_file() -> None:
    with pytest.raises(click.UsageError, match="-o FILE"):
        choose_format("parquet", None)


def test_json_on_standard_output_is_one_document(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write("json")
    out, err = capfdbinary.readouterr()
    assert json.loads(out.decode("utf-8")) == DATA.to_pylist()
    assert err == b""


def test_csv_on_standard_output_is_utf8(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write("csv")
    assert capfdbinary.readouterr().out.decode("utf-8") == "kpi,value\nwin_rate,0.25\nnaïve 東,\n"


def test_every_form_can_be_a_file(tmp_path: Path) -> None:
    write("parquet", tmp_path / "r.parquet")
    write("csv", tmp_path / "r.csv")
    write("json", tmp_path / "r.json")
    write("table", tmp_path / "r.txt")
    assert pq.read_table(tmp_path / "r.parquet").equals(DATA)
    assert (tmp_path / "r.csv").read_text("utf-8").splitlines()[0] == "kpi,value"
    assert json.loads((tmp_path / "r.json").read_text("utf-8")) == DATA.to_pylist()
    assert (tmp_path / "r.txt").read_text("utf-8") == "kpi\n--------\nwin_rate\n"


def test_a_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    write("csv", tmp_path / "r.csv")
    usual = tmp_path / "usual"
    usual.touch()
    assert stat.S_IMODE((tmp_path / "r.csv").stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "r.csv"
    target.write_text("old")

    # A surrogate cannot be written as UTF-8: the write fails halfway.
    with pytest.raises(UnicodeEncodeError):
        write_text("half \ud800 row", target, Console())
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*No such file"):
        write("csv", tmp_path / "nowhere" / "r.csv")


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    write("csv", link)
    assert link.is_symlink()
    assert target.read_text().startswith("kpi,value")


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")))
    reader.start()
    write("csv", pipe)
    reader.join(10)
    assert read[0].startswith("kpi,value")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
