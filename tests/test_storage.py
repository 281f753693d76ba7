"""What a connector keeps is whole, private and gone when it is deleted."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from crmetrics.errors import SourceError
from crmetrics.storage import SourceStorage


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> SourceStorage:
    return SourceStorage(tmp_path / "sources" / "crm" if request.param == "folder" else None)


def test_what_is_written_is_read_until_it_is_deleted(storage: SourceStorage) -> None:
    assert storage.read("token") == {}
    storage.write("token", {"value": "é", "at": 1})
    storage.write("token", {"value": "new"})
    assert storage.read("token") == {"value": "new"}
    storage.delete("token")
    storage.delete("token")
    assert storage.read("token") == {}


def test_files_are_readable_by_their_owner_only_and_nothing_is_left_beside(tmp_path: Path) -> None:
    SourceStorage(tmp_path).write("token", {"value": 1})
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"value": '])
def test_a_torn_file_counts_as_absent(tmp_path: Path, text: str) -> None:
    (tmp_path / "token.json").write_text(text)
    assert SourceStorage(tmp_path).read("token") == {}


@pytest.mark.parametrize("name", ["../token", "a/b", "", ".hidden"])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        SourceStorage(tmp_path).write(name, {})


def test_a_folder_that_cannot_be_written_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "sources").write_text("a file")
    with pytest.raises(SourceError, match="cannot be written"):
        SourceStorage(tmp_path / "sources").write("token", {})


def test_a_lock_is_held_by_one_thread_at_a_time(storage: SourceStorage) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with storage.exclusive("token"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}


# --- pages ---------------------------------------------------------------------------------------


def test_pages_are_kept_in_order_with_their_note_until_they_are_deleted(tmp_path: Path) -> None:
    storage = SourceStorage(tmp_path)
    log = storage.pages("deals")
    assert log.note == {} and list(log.kept()) == []
    log.begin({"of": "a"})
    log.append(b'{"results":[1]}', "p2")
    log.append(b"\x00\xff" * 10, "")
    again = SourceStorage(tmp_path).pages("deals")
    assert again.note == {"of": "a"}
    assert list(again.kept()) == [(b'{"results":[1]}', "p2"), (b"\x00\xff" * 10, "")]
    again.begin({"of": "b"})
    assert (again.note, list(again.kept())) == ({"of": "b"}, [])
    again.delete()
    again.delete()
    assert again.note == {} and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", [1, 5, 12, 14])
def test_a_page_that_was_cut_off_by_a_kill_is_not_there(tmp_path: Path, lost: int) -> None:
    log = SourceStorage(tmp_path).pages("deals")
    log.begin({})
    log.append(b"whole", "1")
    log.append(b"torn", "2")
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-lost])
    assert list(log.kept()) == [(b"whole", "1")]
    log.append(b"next", "2")
    assert list(log.kept()) == [(b"whole", "1"), (b"next", "2")]


def test_a_page_that_was_spoiled_is_not_there(tmp_path: Path) -> None:
    log = SourceStorage(tmp_path).pages("deals")
    log.begin({})
    log.append(b"whole", "1")
    log.append(b"spoiled", "2")
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"spoiled", b"spilled"))
    assert list(log.kept()) == [(b"whole", "1")]


def test_pages_without_a_folder_are_not_kept() -> None:
    log = SourceStorage().pages("deals")
    log.begin({"of": "a"})
    log.append(b"page", "1")
    assert log.note == {} and list(log.kept()) == []


def test_pages_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    log = SourceStorage(tmp_path / "crm").pages("deals")
    log.begin({})
    (file,) = (tmp_path / "crm").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
