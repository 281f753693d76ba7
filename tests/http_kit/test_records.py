"""JSON pages become typed batches; nothing is guessed, nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from crmetrics import http

FIELDS = {
    "id": pa.string(),
    "amount": pa.float64(),
    "is_won": pa.bool_(),
    "owner.id": pa.string(),
    "owner.address.city": pa.string(),
}


def page(*records: Any, **more: Any) -> bytes:
    return json.dumps({"results": list(records), **more}, ensure_ascii=False).encode()


def rows(*bodies: bytes, path: str = "results", fields: Any = None, **options: Any) -> list[Any]:
    reader = http.JsonRecords(path, FIELDS if fields is None else fields)
    return [row for batch in reader.batches(bodies, **options) for row in batch.to_pylist()]


FULL = {
    "id": "1", "amount": 1.5, "is_won": True,
    "owner": {"id": "u1", "address": {"city": "Kraków\n🙂"}},
}  # fmt: skip
AS_ROW = {
    "id": "1", "amount": 1.5, "is_won": True, "owner.id": "u1", "owner.address.city": "Kraków\n🙂",
}  # fmt: skip
EMPTY = dict.fromkeys(FIELDS)


def test_nested_fields_become_columns_by_their_path() -> None:
    assert rows(page(FULL)) == [AS_ROW]


def test_absent_and_null_fields_and_parents_are_null() -> None:
    found = rows(page({}, {"owner": None}, {"owner": {"id": None}}, {"owner": {"address": None}}))
    assert found == [EMPTY] * 4


def test_fields_that_were_not_asked_for_are_ignored_whatever_they_hold() -> None:
    odd = {"id": "1", "list": [1, "a", {}], "attributes": {"type": "X", "url": "/x"}}
    assert rows(page(odd, {"id": "2", "list": "text"})) == [
        {**EMPTY, "id": "1"},
        {**EMPTY, "id": "2"},
    ]


def test_pages_are_joined_and_batches_stay_small() -> None:
    pages = [page({"id": str(n)}, {"id": f"{n}b"}) for n in range(100)]
    reader = http.JsonRecords("results", {"id": pa.string()})
    whole = list(reader.batches(pages))
    cut = list(reader.batches(pages, joined_bytes=300))
    assert len(whole) == 1
    assert len(cut) > 10
    assert pa.Table.from_batches(whole).equals(pa.Table.from_batches(cut).combine_chunks())


def test_empty_pages_and_no_pages() -> None:
    assert rows() == []
    assert rows(page(), page(FULL), page()) == [AS_ROW]
    assert rows(page()) == []


def test_a_page_over_several_lines_is_read() -> None:
    pretty = json.dumps({"results": [FULL]}, indent=2).replace("\n", "\r\n").encode()
    assert rows(pretty, page(FULL)) == [AS_ROW, AS_ROW]


def test_a_bare_list_and_a_deep_one() -> None:
    fields = {"id": pa.string()}
    assert rows(b'[{"id": "a"}]', b"[]", path="", fields=fields) == [{"id": "a"}]
    assert rows(b'{"d": {"x": [{"id": "a"}]}}', path="d.x", fields=fields) == [{"id": "a"}]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (23.0, pa.int64(), 23),
        (5, pa.string(), "5"),
        (5.25, pa.string(), "5.25"),
        (True, pa.string(), "true"),
        ({"a": 1}, pa.string(), '{"a": 1}'),
        (1.0e7, pa.float64(), 10_000_000.0),
        (3, pa.float64(), 3.0),
        ("2026-01-05", pa.date32(), __import__("datetime").date(2026, 1, 5)),
    ],
)
def test_a_value_of_another_kind_is_taken_over_when_nothing_is_lost(
    value: Any, kind: pa.DataType, expected: Any
) -> None:
    found = rows(page({"f": value}, {"f": None}), fields={"f": kind})
    assert found == [{"f": expected}, {"f": None}]


def test_a_value_that_does_not_fit_is_named() -> None:
    with pytest.raises(http.HttpError, match=r"'amount' holds values that are no double: 'lots'"):
        rows(page({"amount": "lots"}))
    with pytest.raises(http.HttpError, match="'n' holds values that are no int64"):
        rows(page({"n": 1.5}), fields={"n": pa.int64()})


@pytest.mark.parametrize(
    "body", [b"<html>down</html>", b"", b"null", b'{"results": [{"id": "1"}', b'{"error": "x"}',
             b'{"results": null}', b'{"results": {}}', b"[]"],
)  # fmt: skip
def test_a_page_without_records_is_an_error_also_among_good_ones(body: bytes) -> None:
    with pytest.raises(http.HttpError, match="expected a page"):
        rows(page(FULL), body, page(FULL))


def test_one_odd_page_leaves_the_others_as_they_are() -> None:
    found = rows(page(FULL), page({"id": 7}), page(FULL))
    assert found == [AS_ROW, {**EMPTY, "id": "7"}, AS_ROW]
