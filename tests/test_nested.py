"""Nested columns as JSON: the quick way says what the slow way says."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmetrics import export
from crmetrics.nested import json_texts

TEXTS = pa.map_(pa.string(), pa.string())
NUMBERS = pa.map_(pa.string(), pa.float64())
LISTS = pa.list_(pa.string())


def expected(kind: pa.DataType, value: Any) -> str | None:
    """By the standard library, from the value as Python has it."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        value = {
            key: None if isinstance(item, float) and abs(item) in (float("inf"),) else item
            for key, item in value
        }
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TEXTS, [[("a", "x"), ("b", 'q"\\ü🚀')], None, [], [("b", None)], [("a", "1")]]),
        (TEXTS, [[("z", "1")], [("a", "1")], [("m", "1"), ("n", "2")]]),
        (NUMBERS, [[("b", 1.0), ("c", 1e300), ("d", None)], [("a", float("inf"))], [("z", -0.0)]]),
        (LISTS, [["a", None, "b"], [], None, ['"']]),
        (TEXTS, []),
        (TEXTS, [None]),
    ],
)
def test_a_column_of_maps_or_lists_is_worded_at_once(kind: pa.DataType, values: list[Any]) -> None:
    texts = json_texts(pa.chunked_array([pa.array(values, kind)]))
    assert texts is not None
    assert texts.to_pylist() == [expected(kind, value) for value in values]


def test_a_slice_is_worded_as_it_is() -> None:
    column = pa.array([[("a", "x")], [("b", "y")], [("c", "z")]], TEXTS).slice(1, 1)
    texts = json_texts(pa.chunked_array([column]))
    assert texts is not None
    assert texts.to_pylist() == ['{"b": "y"}']


@pytest.mark.parametrize("row", [[("b", "x"), ("a", "y")], [("b", "line\nbreak")]])
def test_what_does_not_fit_is_left_to_the_slow_way(row: list[tuple[str, str]]) -> None:
    column = pa.chunked_array([pa.array([row], TEXTS)])
    assert json_texts(column) is None
    flat = export.flat(pa.table({"c": column}))
    assert flat.column("c").to_pylist() == [expected(TEXTS, row)]


pairs = st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=8), max_size=4)


@given(st.lists(st.none() | pairs, max_size=8))
def test_any_map_becomes_its_json(rows: list[dict[str, str | None] | None]) -> None:
    values = [None if row is None else list(row.items()) for row in rows]
    flat = export.flat(pa.table({"c": pa.array(values, TEXTS)}))
    assert flat.column("c").to_pylist() == [expected(TEXTS, value) for value in values]
