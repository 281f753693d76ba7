"""The sink `files`: formats, names, and files that are always whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from crmetrics.message import SegmentLine
from crmetrics.plugin import SinkContext, SinkError
from crmetrics_files.html import sparkline
from crmetrics_files.replacing import replace_files, target_of
from crmetrics_files.sink import FilesOptions, FilesSink
from result_rows import breakdown, delivery, kpi, line, message, table

ALL = ("csv", "json", "ndjson", "parquet", "markdown", "html")
Golden = Callable[[str, str], None]


def sink(folder: Path, **options: Any) -> FilesSink:
    context = SinkContext("reports", folder, project="acme")
    return FilesSink(FilesOptions(**{"path": "out", **options}), context)


def names(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


# --- what is written -------------------------------------------------------------------------


def test_every_format_is_a_file_named_after_job_and_period(tmp_path: Path) -> None:
    receipt = sink(tmp_path, formats=ALL).write(delivery())
    stem = "out/weekly_sales_2026-W05"
    assert names(tmp_path) == [f"{stem}.{end}" for end in
                               ("csv", "html", "json", "md", "ndjson", "parquet")]  # fmt: skip
    assert receipt.destination == f"{stem}.{{csv,json,ndjson,parquet,md,html}}"
    assert receipt.rows == 1


def test_tables_hold_the_results(tmp_path: Path) -> None:
    results = table(kpi(segment={"owner.team": "Ost, 東"}), kpi("won_amount", None))
    sink(tmp_path, formats=("csv", "json", "parquet")).write(delivery(results))
    stem = tmp_path / "out" / "weekly_sales_2026-W05"
    rows = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    assert rows[0]["segment"] == {"owner.team": "Ost, 東"}
    assert rows[1]["value"] is None
    assert pq.read_table(stem.with_suffix(".parquet")).equals(results)
    assert len(stem.with_suffix(".csv").read_bytes().splitlines()) == 3


def test_the_receipt_proves_every_file(tmp_path: Path) -> None:
    receipt = sink(tmp_path, formats=("csv", "html")).write(delivery())
    for file in receipt.details["files"]:
        content = (tmp_path / file["path"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["bytes"] == len(content)
    assert receipt.reference == f"sha256:{receipt.details['files'][0]['sha256']}"


def test_a_repeat_leaves_the_same_files(tmp_path: Path) -> None:
    first = sink(tmp_path, formats=ALL).write(delivery())
    assert sink(tmp_path, formats=ALL).write(delivery()) == first
    assert len(names(tmp_path)) == len(ALL)


def test_a_restated_period_replaces_its_file(tmp_path: Path) -> None:
    writer = sink(tmp_path, formats=("ndjson",))
    writer.write(delivery(table(kpi(value=0.1))))
    writer.write(delivery(table(kpi(value=0.2))))
    [file] = (tmp_path / "out").iterdir()
    assert json.loads(file.read_text(encoding="utf-8"))["value"] == 0.2


def test_the_preview_is_exactly_what_is_written(tmp_path: Path) -> None:
    writer = sink(tmp_path, formats=("csv", "html"))
    preview = writer.preview(delivery())
    assert names(tmp_path) == []
    writer.write(delivery())
    for file in names(tmp_path):
        assert f"--- {file}\n{(tmp_path / file).read_text(encoding='utf-8')}" in preview


def test_the_preview_does_not_show_binary(tmp_path: Path) -> None:
    assert "(Parquet, 1 rows)" in sink(tmp_path, formats=("parquet",)).preview(delivery())


def test_a_formula_in_a_name_is_inert_in_csv(tmp_path: Path) -> None:
    sink(tmp_path).write(delivery(table(kpi('=HYPERLINK("http://evil")'))))
    text = (tmp_path / "out/weekly_sales_2026-W05.csv").read_text(encoding="utf-8")
    assert text.splitlines()[1].startswith("\"'=HYPERLINK(")


def test_many_groups_are_written(tmp_path: Path) -> None:
    rows = [kpi(segment={"owner.team": f"team {index}"}) for index in range(8_000)]
    sink(tmp_path, formats=("csv",)).write(delivery(table(*rows)))
    text = (tmp_path / "out/weekly_sales_2026-W05.csv").read_text(encoding="utf-8")
    assert text.count("\n") == 8_001


# --- names -----------------------------------------------------------------------------------


def test_a_name_may_hold_folders_and_every_field(tmp_path: Path) -> None:
    writer = sink(tmp_path, name="{project}/{grain}/{start}_{end}")
    writer.write(delivery())
    assert names(tmp_path) == ["out/acme/week/2026-01-26_2026-02-02.csv"]


@pytest.mark.parametrize(
    ("job", "file"),
    [
        ("../../etc/passwd", "out/_._.._etc_passwd_2026-W05.csv"),
        ("a/b\\c:d*?", "out/a_b_c_d___2026-W05.csv"),
        ("vertrieb_öst", "out/vertrieb_öst_2026-W05.csv"),
        (".hidden", "out/_hidden_2026-W05.csv"),
        ("$(rm -rf)\n", "out/__rm_-rf___2026-W05.csv"),
    ],
)
def test_a_value_cannot_leave_the_folder(tmp_path: Path, job: str, file: str) -> None:
    sink(tmp_path).write(delivery(job=job))
    assert names(tmp_path) == [file]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "{jobb}"}, "Did you mean 'job'"),
        ({"name": "{job"}, "expected a name like"),
        ({"name": "../{job}"}, "below the folder"),
        ({"name": "/{job}"}, "below the folder"),
        ({"name": "{job.__class__}"}, "there is no {job.__class__}"),
        ({"name": "{}"}, "there is no {}"),
        ({"name": ""}, "expected a file name"),
        ({"name": "{period:.4}"}, "{period:.4} cannot be formatted in a file name. Write {period}"),
        ({"name": "p{start:.0}"}, "{start:.0} cannot be formatted in a file name. Write {start}"),
        ({"name": "{start:%Y}"}, "{start:%Y} cannot be formatted"),
        ({"name": "{start:{end}}"}, "{start:{end}} cannot be formatted"),
        ({"name": "{job}_{period!r}"}, "{period!r} cannot be formatted"),
        ({"name": "{period!s:>9}"}, "{period!s:>9} cannot be formatted"),
        ({"formats": ()}, "at least 1"),
        ({"formats": ("docx",)}, "'markdown'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FilesOptions(**{"path": "out", **options})
    assert text in str(caught.value)


def test_a_format_named_twice_is_one_file() -> None:
    assert FilesOptions(path=Path("out"), formats=("csv", "csv")).formats == ("csv",)


# --- whole files -----------------------------------------------------------------------------


def test_a_writer_that_fails_leaves_the_old_files(tmp_path: Path) -> None:
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(OSError, match="No space left"):
        replace_files({one: lambda path: path.write_text("new") and None, other: fail})
    assert (one.read_text(), names(tmp_path)) == ("old", ["one.txt"])


_KILLED = """
import os, signal, sys
from pathlib import Path
from crmetrics_files.replacing import replace_files, target_of

def write(path):
    path.write_text("new" * 1000)
    if sys.argv[2] == "while writing":
        os.kill(os.getpid(), signal.SIGKILL)

replace = Path.replace
def killed_replace(self, target):
    if sys.argv[2] == "before moving":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(self, target)
    if sys.argv[2] == "after moving one":
        os.kill(os.getpid(), signal.SIGKILL)
Path.replace = killed_replace

folder = Path(sys.argv[1])
replace_files({folder / "a.csv": write, folder / "b.csv": write})
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("moment", ["while writing", "before moving", "after moving one"])
def test_a_kill_leaves_every_file_old_or_new_and_the_next_write_cleans_up(
    tmp_path: Path, moment: str
) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("old")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    new = "new" * 1000
    found = [(tmp_path / name).read_text() for name in ("a.csv", "b.csv")]
    assert found == ([new, "old"] if moment == "after moving one" else ["old", "old"])
    assert len(names(tmp_path)) > 2  # the kill left a draft behind
    replace_files({tmp_path / name: lambda path: path.write_text("last") and None
                   for name in ("a.csv", "b.csv")})  # fmt: skip
    assert names(tmp_path) == ["a.csv", "b.csv"]


def test_an_error_names_the_file_and_not_its_draft(tmp_path: Path) -> None:
    draft = tmp_path / ".week.1.csv.0a1b2c3d.crmetrics-tmp"
    assert target_of(draft) == tmp_path / "week.1.csv"
    assert target_of(tmp_path / ".hidden.csv") == tmp_path / ".hidden.csv"


def test_cleaning_up_leaves_other_files_alone(tmp_path: Path) -> None:
    for name in (".a.csv.note", "a.csv.crmetrics-tmp", ".b.csv.1f.crmetrics-tmp"):
        (tmp_path / name).write_text("mine")
    replace_files({tmp_path / "a.csv": lambda path: path.write_text("new") and None})
    assert len(names(tmp_path)) == 4


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX rights")
def test_the_rights_of_a_replaced_file_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("old")
    file.chmod(0o640)
    replace_files({file: lambda path: path.write_text("new") and None})
    assert (file.stat().st_mode & 0o777, file.read_text()) == (0o640, "new")


def test_a_file_in_place_of_the_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("I am a file")
    with pytest.raises(SinkError) as caught:
        sink(tmp_path).write(delivery())
    assert "sink reports: out could not be written" in str(caught.value)
    [result] = sink(tmp_path).check()
    assert (result.state, result.message) == ("error", "out is not a folder")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(SinkError, match="out/"):
        sink(tmp_path).write(delivery())
    [result] = sink(tmp_path).check()
    assert (result.state, result.message) == ("error", "out cannot be written to")


def test_a_name_that_the_system_refuses_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="could not be written"):
        sink(tmp_path).write(delivery(job="x" * 300))


def test_check_accepts_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    [result] = sink(tmp_path, path="new/deep").check()
    assert result.state == "ok"
    assert names(tmp_path) == []


# --- reports ---------------------------------------------------------------------------------

EVIL = '<script>alert(1)</script> & "|`*_[x](http://evil)~#\\ 日本'


def full_message() -> Any:
    groups = breakdown("East", EVIL, note="and 12 more")
    driver = SegmentLine({"owner.team": "East"}, 5.0, "+5.0 USD")
    win_rate = line(
        change_text="up 3.1 points on the week before",
        tone="good",
        goal_text="Close more: 60.0 % of the way to 50.0 % by 2026-06-30, on track",
        guardrail_text="Average deal size 9,500 USD is within its limit",
        goal_status="on_track",
        coverage_text="left out: 3 without close_date",
        series=(0.30, None, 0.35, 0.40),
        target=0.5,
        breakdowns=(replace(groups, driver=driver),),
    )
    missing = line("Won amount", value=None, value_text="no value", status="missing_dataset",
                   status_text="not available", tone="warning")  # fmt: skip
    return message(win_rate, missing, tone="warning", notes=(f"orders are stale {EVIL}",))


def test_markdown_report(tmp_path: Path, golden: Golden) -> None:
    text = sink(tmp_path, formats=("markdown",)).preview(delivery(report=full_message()))
    golden("files/report.md", text)


def test_html_report(tmp_path: Path, golden: Golden) -> None:
    text = sink(tmp_path, formats=("html",)).preview(delivery(report=full_message()))
    golden("files/report.html", text)


class Outline(HTMLParser):
    """Tags and attributes of a page, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_is_self_contained_and_runs_nothing(tmp_path: Path) -> None:
    report = full_message()
    sink(tmp_path, formats=("html",)).write(delivery(report=replace(report, title=EVIL)))
    page = (tmp_path / "out/weekly_sales_2026-W05.html").read_text(encoding="utf-8")
    outline = Outline(page)
    assert {"svg", "table", "style"} <= set(outline.tags)
    assert not {"script", "img", "link", "a", "iframe"} & set(outline.tags)
    assert not {"src", "href", "onclick"} & {name for name, _ in outline.attributes}
    assert EVIL in outline.texts  # as text, whole
    assert "default-src 'none'" in page


def test_a_markdown_table_keeps_its_columns_whatever_a_name_holds(tmp_path: Path) -> None:
    report = message(line(breakdowns=(breakdown("a|b\nc", EVIL),)))
    sink(tmp_path, formats=("markdown",)).write(delivery(report=report))
    text = (tmp_path / "out/weekly_sales_2026-W05.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert "<script>" not in text.replace("\\<", "")


def test_a_report_without_kpis_has_its_frame(tmp_path: Path) -> None:
    report = replace(message(), kpis=(), headline="no figures.")
    writer = sink(tmp_path, formats=("markdown", "html"))
    assert writer.preview(delivery(report=report)).count("no figures.") == 2


def test_a_sparkline_breaks_where_there_is_no_value() -> None:
    assert sparkline((1.0, 2.0, None, 3.0, 4.0)).count("<polyline") == 2
    assert sparkline((1.0,)) == sparkline((None, None)) == sparkline(()) == ""


@pytest.mark.parametrize("series", [(1.0, 1.0), (-1e308, 1e308), (0.0, 5e-324), (1e-9, None, 2e-9)])
def test_a_sparkline_stays_in_its_box(series: tuple[float | None, ...]) -> None:
    drawn = sparkline(series, target=series[0])
    heights = [float(pair.split(",")[1]) for points in re.findall(r'points="([^"]+)"', drawn)
               for pair in points.split()]  # fmt: skip
    assert heights
    assert all(0 <= height <= 28 for height in heights)
