"""A file is read when it is new or has changed, and replaces what it gave before."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crmetrics.plugin import SourceError

if TYPE_CHECKING:
    from connectors.csv.conftest import Project

GLOB = {"datasets": {"leads": {"file": "in/*.csv"}}}


def write(project: Project, name: str, *ids: str, at: int = 1_000) -> Path:
    """A file of leads, last changed at that second."""
    path = project.write(f"in/{name}.csv", "id,status\n" + "".join(f"{i},new\n" for i in ids))
    os.utime(path, ns=(at * 10**9, at * 10**9))
    return path


def read(project: Project, state: Any = None, **options: Any):
    return project.read("leads", state=state, **{**GLOB, "columns": ["status"], **options})


def test_the_state_is_plain_json(project: Project) -> None:
    write(project, "a", "1", "2")
    state = read(project).state
    assert json.loads(json.dumps(state)) == state
    entry = state["files"]["in/a.csv"]
    assert entry["rows"] == 2
    assert entry["size"] == len("id,status\n1,new\n2,new\n")
    assert entry["mtime_ns"] == 1_000 * 10**9
    assert set(entry["columns"]) == {"id", "status"}


def test_an_unchanged_file_is_not_read_again(project: Project) -> None:
    write(project, "a", "1")
    first = read(project)
    second = read(project, first.state)
    assert second.rows == []
    assert second.request.parts == []
    assert second.state == first.state


def test_only_the_changed_file_is_read_and_replaces_its_rows(project: Project) -> None:
    write(project, "a", "1")
    write(project, "b", "2")
    state = read(project).state
    write(project, "b", "2", "3", at=2_000)
    second = read(project, state)
    assert second.column("id") == ["2", "3"]
    assert second.request.parts == ["in/b.csv"]
    assert second.request.dropped_parts == []
    assert read(project, second.state).rows == []


def test_an_edit_that_keeps_the_size_is_noticed(project: Project) -> None:
    write(project, "a", "1", "2")
    state = read(project).state
    write(project, "a", "1", "3", at=2_000)
    assert read(project, state).column("id") == ["1", "3"]


def test_a_file_that_was_only_touched_is_not_loaded_again(project: Project) -> None:
    write(project, "a", "1", "2")
    state = read(project).state
    write(project, "a", "1", "2", at=2_000)
    second = read(project, state)
    assert second.request.parts == []
    assert second.state["files"]["in/a.csv"]["mtime_ns"] == 2_000 * 10**9


def test_the_checksum_is_that_of_zlib_with_every_library(project: Project) -> None:
    """So a project that moves to another machine reads nothing again."""
    path = write(project, "a", *map(str, range(300_000)))
    assert path.stat().st_size > 2 << 20
    entry = read(project).state["files"]["in/a.csv"]
    assert entry["checksum"] == f"crc32:{zlib.crc32(path.read_bytes()):08x}"


@pytest.mark.parametrize("name", ["leads.csv", "leads.csv.gz", "leads.ndjson", "leads.parquet"])
def test_every_format_recognises_a_touched_file(project: Project, name: str) -> None:
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    if name.endswith("parquet"):
        pq.write_table(pa.table({"id": ["1"]}), project.directory / name)
    else:
        text = b'{"id": "1"}\n' if "json" in name else b"id\n1\n"
        project.write(name, gzip.compress(text) if name.endswith("gz") else text)
    first = project.read("leads", columns=[])
    assert first.column("id") == ["1"]
    os.utime(project.directory / name, ns=(10**9, 10**9))
    assert project.read("leads", columns=[], state=first.state).request.parts == []


def test_a_new_file_is_read(project: Project) -> None:
    write(project, "a", "1")
    state = read(project).state
    write(project, "b", "2")
    assert read(project, state).column("id") == ["2"]


def test_a_file_that_vanished_is_dropped_with_a_notice(project: Project) -> None:
    write(project, "a", "1")
    write(project, "b", "2", "3")
    state = read(project).state
    (project.directory / "in/b.csv").unlink()
    second = read(project, state)
    assert second.request.dropped_parts == ["in/b.csv"]
    assert "in/b.csv is gone or no longer named: its 2 rows leave leads" in second.notices
    assert list(second.state["files"]) == ["in/a.csv"]


def test_a_renamed_file_moves_its_rows(project: Project) -> None:
    path = write(project, "a", "1")
    state = read(project).state
    path.rename(path.with_name("b.csv"))
    second = read(project, state)
    assert second.request.dropped_parts == ["in/a.csv"]
    assert second.request.parts == ["in/b.csv"]
    assert second.column("id") == ["1"]


def test_a_file_that_shrinks_is_noticed(project: Project) -> None:
    write(project, "a", "1", "2", "3")
    state = read(project).state
    write(project, "a", "1", at=2_000)
    second = read(project, state)
    assert second.column("id") == ["1"]
    assert "in/a.csv has shrunk from 3 to 1 rows" in second.notices


def test_a_file_that_shrinks_to_its_header_replaces_its_rows(project: Project) -> None:
    write(project, "a", "1", "2")
    state = read(project).state
    write(project, "a", at=2_000)
    second = read(project, state)
    assert second.request.parts == ["in/a.csv"]
    assert second.rows == []
    assert "shrunk from 2 to 0" in second.notices


def test_a_folder_that_lost_all_its_files_is_an_error(project: Project) -> None:
    path = write(project, "a", "1")
    state = read(project).state
    path.unlink()
    assert "no file matches 'in/*.csv'" in project.error("leads", state=state, **GLOB)


def test_another_mapping_reads_everything_again(project: Project) -> None:
    write(project, "a", "1")
    state = read(project).state
    options = {"datasets": {"leads": {"file": "in/*.csv", "columns": {"status": "upper(status)"}}}}
    assert read(project, state, **options).column("status") == ["NEW"]


@pytest.mark.parametrize(
    "options", [{"null_values": ["new"]}, {"timezone": "Asia/Tokyo"}, {"zone": "Asia/Tokyo"}]
)
def test_another_option_reads_everything_again(project: Project, options: dict[str, Any]) -> None:
    write(project, "a", "1")
    state = read(project).state
    assert read(project, state, **options).request.parts == ["in/a.csv"]


def test_a_further_column_reads_everything_again_and_fewer_do_not(project: Project) -> None:
    write(project, "a", "1")
    narrow = read(project, columns=[])
    wide = read(project, narrow.state, columns=["status"])
    assert wide.column("status") == ["new"]
    assert read(project, wide.state, columns=[]).request.parts == []
    assert read(project, wide.state, columns=["status"]).request.parts == []


def test_a_full_read_ignores_the_state(project: Project) -> None:
    write(project, "a", "1")
    state = read(project).state
    assert read(project, state, is_full=True).column("id") == ["1"]


def test_a_failed_read_saves_no_state(project: Project) -> None:
    write(project, "a", "1")
    project.write("in/b.csv", "id,created_at\n2,soon\n")
    connector = project.connector(**GLOB)
    request = project.request(connector, "leads")
    with pytest.raises(SourceError, match=r"in/b.csv:2"):
        list(connector.read(request))
    assert request.saved_state is None


@pytest.mark.parametrize("change", ["append", "truncate", "touch", "remove"])
def test_a_file_that_changes_while_it_is_read_is_an_error(project: Project, change: str) -> None:
    text = "id,status\n" + "".join(f"{number},new\n" for number in range(300_000))
    path = project.write("in/a.csv", text)
    connector = project.connector(**GLOB)
    stream = connector.read(project.request(connector, "leads"))
    next(stream)
    if change == "append":
        with path.open("a") as file:
            file.write("x,new\n")
    elif change == "truncate":
        path.write_text("id,status\n1,new\n")
    elif change == "touch":
        os.utime(path, ns=(5, 5))
    else:
        path.unlink()
    expected = "cannot be read: No such file" if change == "remove" else "changed while it was read"
    with pytest.raises(SourceError, match=expected):
        list(stream)


def test_a_file_cut_while_it_is_read_is_not_blamed_for_its_content(project: Project) -> None:
    text = "id,status\n" + "".join(f'{number},"new"\n' for number in range(300_000))
    path = project.write("in/a.csv", text)
    connector = project.connector(**GLOB)
    stream = connector.read(project.request(connector, "leads"))
    next(stream)
    with path.open("a") as file:
        file.write('x,"open\n')
    with pytest.raises(SourceError, match="changed while it was read"):
        list(stream)
