"""A member beside the records is found without parsing them, and none of theirs is taken for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmetrics import http

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab",:{}[]\\ é\n', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["after", "next", "paging", "x", '"after"']), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(["records", "after", "next", "paging", "q"]), JSON))
def test_it_is_what_a_parser_finds(document: dict[str, Any]) -> None:
    for indent in (None, 1):
        body = json.dumps(document, ensure_ascii=False, indent=indent).encode()
        for name in ("after", "paging", "absent"):
            assert http.member(body, name) == document.get(name)


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_member_beside_large_records_is_found_at_either_end(place: str) -> None:
    records = [{"id": n, "next": "not this", "text": 'say "next":1]} é' * 9} for n in range(3000)]
    document = {"size": 1, "next": "/page/2", "records": records}
    if place == "last":
        document = {"size": 1, "records": records, "next": "/page/2"}
    assert http.member(json.dumps(document).encode(), "next") == "/page/2"


def test_a_name_only_inside_records_is_absent() -> None:
    records = [{"next": "x" * 100}] * 3000
    assert http.member(json.dumps({"records": records}).encode(), "next") is None


def test_a_value_longer_than_the_window_is_whole() -> None:
    long = "é" * 100_000
    body = json.dumps({"next": long, "records": [1] * 70_000}, ensure_ascii=False).encode()
    assert http.member(body, "next") == long


@pytest.mark.parametrize("body", [b"", b"[1]", b"<html>", b'{"records": [1'])
def test_what_is_no_object_is_an_error(body: bytes) -> None:
    with pytest.raises(http.HttpError, match="no JSON object"):
        http.member(body, "next")
