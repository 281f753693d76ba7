"""Encodings and compressed files."""

from __future__ import annotations

import bz2
import codecs
import gzip
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project

TEXT = "id,status\n1,für\n2,日本\n3,🎉\n"
VALUES = ["für", "日本", "🎉"]


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16 LE", "utf-16 BE", "utf-32"],
)
def test_unicode_is_recognised_by_its_mark(project: Project, content: bytes) -> None:
    project.write("leads.csv", content)
    assert project.read("leads", columns=["status"]).column("status") == VALUES


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso-8859-15"])
def test_another_encoding_can_be_set(project: Project, encoding: str) -> None:
    project.write("leads.csv", "id,état\n1,café\n".encode(encoding))
    loaded = project.read(
        "leads",
        columns=["status"],
        encoding=encoding,
        datasets={"leads": {"columns": {"status": "état"}}},
        path=".",
    )
    assert loaded.column("status") == ["café"]


def test_a_byte_order_mark_is_stronger_than_the_option(project: Project) -> None:
    project.write("leads.csv", TEXT.encode("utf-8-sig"))
    assert project.read("leads", columns=["status"], encoding="cp1252").column("status") == VALUES


def test_a_wrong_encoding_is_named_with_its_place(project: Project) -> None:
    project.write("leads.csv", b"id,status\n1,ok\n2,caf\xe9\n")
    message = project.error("leads")
    assert message.startswith("leads.csv:3: expected utf-8 text, found byte 0xe9 at offset 20")
    assert "encoding: cp1252" in message


def test_a_wrong_encoding_far_down_is_named_with_its_place(project: Project) -> None:
    head = "id,status\n" + "".join(f"{number},new\n" for number in range(300_000))
    project.write("leads.csv", head.encode() + b"x,caf\xe9\n")
    message = project.error("leads")
    assert message.startswith(
        f"leads.csv:300002: expected utf-8 text, found byte 0xe9 at offset {len(head) + 5}"
    )


def test_a_wrong_byte_behind_the_mark_is_counted_from_the_start_of_the_file(
    project: Project,
) -> None:
    project.write("leads.csv", codecs.BOM_UTF8 + b"id,status\n1,\xff\n")
    assert "found byte 0xff at offset 15" in project.error("leads")


def test_a_field_that_is_not_read_may_hold_anything(project: Project) -> None:
    filler = b"".join(b"%d,new,ok\n" % number for number in range(40_000))
    project.write("leads.csv", b"id,status,notes\n" + filler + b"x,new,caf\xe9\n")
    assert project.read("leads", columns=["status"]).column("id")[-1] == "x"


def test_bytes_that_do_not_fit_the_set_encoding_are_named(project: Project) -> None:
    project.write("leads.csv", b"id,status\n1,ok\n2,\x81\n")
    message = project.error("leads", encoding="cp1252")
    assert message.startswith("leads.csv:3: expected cp1252 text, found byte 0x81 at offset 17")


def test_a_character_cut_at_the_end_is_an_error(project: Project) -> None:
    project.write("leads.csv", "id,status\n1,é\n".encode("utf-16")[:-3])
    assert "truncated data" in project.error("leads")


def test_utf16_without_a_mark_is_an_error_that_names_the_option(project: Project) -> None:
    project.write("leads.csv", "id,status\n1,new\n".encode("utf-16-le"))
    assert "encoding: utf-16-le" in project.error("leads")
    loaded = project.read("leads", columns=["status"], encoding="utf-16-le")
    assert loaded.column("status") == ["new"]


def test_characters_across_block_borders_are_whole(project: Project) -> None:
    rows = [f"{number},{'é' * (number % 7)}日\n" for number in range(200_000)]
    for encoding in ("utf-8", "utf-16"):
        project.write("leads.csv", ("id,status\n" + "".join(rows)).encode(encoding))
        values = project.read("leads", columns=["status"]).column("status")
        assert values == ["é" * (number % 7) + "日" for number in range(200_000)]


# --- compression -------------------------------------------------------------------------------


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


@pytest.mark.parametrize(
    ("name", "pack"),
    [("leads.csv.gz", gzip.compress), ("leads.csv.zst", _zstd), ("leads.csv.bz2", bz2.compress)],
)
def test_compressed_files_are_unpacked(project: Project, name: str, pack) -> None:
    project.write(name, pack(TEXT.encode("utf-16")))
    loaded = project.read("leads", columns=["status"])
    assert loaded.column("status") == VALUES
    assert loaded.request.parts == [name]


def test_several_gzip_members_are_one_file(project: Project) -> None:
    project.write("leads.csv.gz", gzip.compress(b"id\n1\n") + gzip.compress(b"2\n"))
    assert project.read("leads", columns=[]).column("id") == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "pack"), [("leads.csv.gz", gzip.compress), ("leads.csv.zst", _zstd)]
)
def test_a_compressed_file_cut_short_is_an_error(project: Project, name: str, pack) -> None:
    lines = "".join(f"{number},{number * 7919 % 10007}\n" for number in range(400_000))
    project.write(name, pack(b"id,status\n" + lines.encode())[:-20])
    message = project.error("leads")
    assert name in message
    assert "is no whole" in message


def test_a_compressed_file_that_holds_nothing_is_empty(project: Project) -> None:
    project.write("leads.csv.gz", gzip.compress(b""))
    assert "the file is empty" in project.error("leads")


def test_compressed_json_is_unpacked(project: Project) -> None:
    project.write("leads.ndjson.gz", gzip.compress(b'{"id": 1}\n'))
    assert project.read("leads", columns=[]).column("id") == ["1"]
