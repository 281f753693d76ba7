"""NDJSON and JSON files."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project

RECORDS: list[dict[str, Any]] = [
    {"id": 17850.0, "stage": "Wön", "amount": 1234567.89, "is_won": True},
    {"id": "007", "close_date": "2024-03-01", "is_won": None},
    {"id": 9007199254740993, "created_at": "2024-03-01T02:03:04Z", "amount": "5", "stage": ""},
]


def check_rows(rows: list[dict[str, Any]]) -> None:
    assert [row["id"] for row in rows] == ["17850.0", "007", "9007199254740993"]
    assert [row["amount"] for row in rows] == [Decimal("1234567.8900"), None, Decimal("5.0000")]
    assert [row["is_won"] for row in rows] == [True, None, None]
    assert [row["stage"] for row in rows] == ["Wön", None, None]
    assert rows[2]["created_at"].isoformat() == "2024-03-01T02:03:04+00:00"


@pytest.mark.parametrize("name", ["opportunities.ndjson", "opportunities.jsonl"])
def test_a_json_object_per_line_is_a_record(project: Project, name: str) -> None:
    lines = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
    project.write(name, "\ufeff" + "\r\n".join([lines[0], "", *lines[1:]]))
    check_rows(project.read("opportunities").rows)


def test_an_array_of_objects_is_read(project: Project) -> None:
    project.write("opportunities.json", json.dumps(RECORDS, indent=2))
    check_rows(project.read("opportunities").rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_records_under_a_path_of_keys_are_read(project: Project, encoding: str) -> None:
    document = {
        "meta": {"items": [1, 2], "n": 1.5},
        "data": {"x": None, "items": RECORDS, "y": [{}]},
        "z": "end",
    }
    project.write("opportunities.json", json.dumps(document, ensure_ascii=False).encode(encoding))
    check_rows(project.read("opportunities", records="data.items").rows)


def test_numbers_keep_their_digits(project: Project) -> None:
    project.write("opportunities.ndjson", '{"id": 1.10, "amount": 99999999999999.9999}\n')
    row = project.read("opportunities").rows[0]
    assert row["id"] == "1.10"
    assert row["amount"] == Decimal("99999999999999.9999")


def test_not_a_number_is_null(project: Project) -> None:
    project.write("opportunities.ndjson", '{"id": 1, "amount": NaN, "probability": NaN}\n')
    row = project.read("opportunities").rows[0]
    assert row["amount"] is row["probability"] is None


def test_expressions_see_json_types_and_nested_values_as_json(project: Project) -> None:
    project.write(
        "leads.ndjson",
        '{"id": 1, "n": 2, "owner": {"id": 5}, "tags": ["a"], "ok": true}\n{"id": 2}\n',
    )
    columns = {
        "status": "(n + 1)::varchar",
        "owner_id": "owner ->> '$.id'",
        "segment": "tags",
        "is_test": "not ok",
    }
    columns["segment"] = "tags ->> '$[0]'"
    options = {"datasets": {"leads": {"file": "leads.ndjson", "columns": columns}}}
    loaded = project.read("leads", columns=columns, **options)
    first, second = loaded.rows
    assert (first["status"], first["owner_id"], first["segment"]) == ("3", "5", "a")
    assert first["is_test"] is False
    assert second["status"] is second["owner_id"] is None


def test_a_nested_value_in_a_column_is_an_error(project: Project) -> None:
    project.write("leads.ndjson", '{"id": 1}\n{"id": 2, "status": {"name": "new"}}\n')
    message = project.error("leads")
    assert message.startswith("leads.ndjson:2: field 'status'")
    assert "found an object" in message


def test_a_field_that_comes_late_is_read_and_may_be_mapped(project: Project) -> None:
    lines = [json.dumps({"id": n, "note": "x" * 100}) for n in range(60_000)]
    lines.append(json.dumps({"id": "last", "status": "new", "seg": "smb"}))
    project.write("leads.ndjson", "\n".join(lines))
    options = {"datasets": {"leads": {"file": "leads.ndjson", "columns": {"segment": "seg"}}}}
    loaded = project.read("leads", columns=["status", "segment"], **options)
    assert loaded.rows[-1] == {"id": "last", "segment": "smb", "status": "new"}
    assert loaded.rows[0] == {"id": "0", "segment": None, "status": None}
    assert project.check(**options)["leads"].state != "error"


@pytest.mark.parametrize(("name", "text"), [("leads.json", "[]"), ("leads.ndjson", "\n \n")])
def test_no_records_give_no_rows_and_a_notice(project: Project, name: str, text: str) -> None:
    project.write(name, text)
    options = {"datasets": {"leads": {"file": name, "columns": {"status": "state"}}}}
    loaded = project.read("leads", **options)
    assert loaded.rows == []
    assert "no records" in loaded.notices
    assert loaded.state["files"][name]["checksum"].startswith("crc32:")


def test_values_that_cannot_be_read_are_named_by_line_or_record(project: Project) -> None:
    project.write("opportunities.ndjson", '{"id": 1}\n\n{"id": 2, "amount": "x"}\n')
    assert project.error("opportunities").startswith("opportunities.ndjson:3: column 'amount'")
    (project.directory / "opportunities.ndjson").unlink()
    project.write("opportunities.json", '[{"id": 1}, {"id": 2, "amount": "x"}]')
    message = project.error("opportunities")
    assert message.startswith("opportunities.json: record 2, column 'amount'")


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("leads.ndjson", '{"id": 1}\n{"id": 2\n', "leads.ndjson:2:"),
        (
            "leads.ndjson",
            '{"id": 1}\n[1]\n',
            "leads.ndjson:2: expected a JSON object, found an array",
        ),
        ("leads.ndjson", '{"id": 1} {"id": 2}\n', "leads.ndjson:1:"),
        ("leads.json", '[{"id": 1}, {"id": 2}', "leads.json:1: expected ','"),
        ("leads.json", '[{"id": 1},\n {"id": 2', "leads.json:2:"),
        ("leads.json", '[{"id": 1},\n {"id" 2}]', "leads.json:2:"),
        ("leads.json", '[{"id": 1}] x', "leads.json:1: expected the end of the document"),
        ("leads.json", '[{"id": 1}, 5]', "record 2: expected a JSON object, found a number"),
        ("leads.json", '"text"', "expected an array of objects"),
        ("leads.json", '{"id": 1}\n{"id": 2}\n', "format: ndjson"),
        ("leads.json", '{"n": 1, "rows": [{"id": 1}]}', "Set `records: rows`"),
    ],
)
def test_broken_json_is_named_with_its_place(
    project: Project, name: str, text: str, complaint: str
) -> None:
    project.write(name, text)
    assert complaint in project.error("leads")


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("data.rows", '{"data": {"row": []}}', "finds no key 'data.rows' in the file"),
        ("data.rows", '{"data": {"row": []}}', "Did you mean 'row'?"),
        ("data", '{"data": {"row": []}}', "expected an array of objects under 'data'"),
        ("data", "[]", "expected an object that holds 'data'"),
        ("data", '{"data": [{"id": 1}]', "expected '}'"),
    ],
)
def test_a_path_that_leads_nowhere_is_an_error(
    project: Project, path: str, text: str, complaint: str
) -> None:
    project.write("leads.json", text)
    assert complaint in project.error("leads", records=path)


def test_wrong_bytes_are_named_with_their_place(project: Project) -> None:
    for name, content in (
        ("leads.ndjson", b'{"id": 1}\n{"id": "\xe9"}\n'),
        ("leads.json", b'[{"id": 1},\n{"id": "\xe9"}]'),
    ):
        project.write(name, content)
        options = {"datasets": {"leads": {"file": name}}}
        assert f"{name}:2: expected utf-8 text" in project.error("leads", **options)


def test_records_are_whole_wherever_the_blocks_are_cut(project: Project) -> None:
    records = [
        {"id": n, "status": f'é\\"{"日" * (n % 50)}', "amount": -n / 8, "ok": n % 2 == 0}
        for n in range(40_000)
    ]
    text = json.dumps({"n": 123456789, "rows": records, "m": [1, 2, {"a": None}]})
    project.write("leads.json", text)
    loaded = project.read("leads", columns=["status"], records="rows")
    assert loaded.column("status") == [record["status"] for record in records]
    assert loaded.column("id") == [str(n) for n in range(40_000)]


def test_a_decimal_comma_is_meant_for_numbers_in_quotes(project: Project) -> None:
    project.write(
        "opportunities.ndjson", '{"id": 1.5, "amount": 2.5}\n{"id": 2, "amount": "3,5"}\n'
    )
    rows = project.read("opportunities", columns=["amount"], decimal=",").rows
    assert rows == [
        {"id": "1.5", "amount": Decimal("2.5000")},
        {"id": "2", "amount": Decimal("3.5000")},
    ]
