"""Nested Arrow columns as canonical JSON text, a column at a time: what `export.flat` is made of.

Maps of text to text or numbers and lists of texts are what results hold by the million; they are
built by Arrow's own loops. Whatever does not fit (keys out of order, control characters, other
types) is left to the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pyarrow as pa

_CONTROL = r"[\x00-\x1f\x7f]"
_SPECIAL = r"[\x00-\x1f\x7f\"\\]"


def json_texts(column: pa.ChunkedArray[Any]) -> pa.Array[Any] | None:
    """The column as JSON texts (`{"a": "x", "b": "y"}`, keys sorted; null stays null); None when
    it has to be done value by value."""
    import pyarrow as pa

    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of no chunks
        array = pa.concat_arrays(array.chunks) if array.chunks else pa.array([], column.type)
    if pa.types.is_map(array.type):
        return _maps(cast("pa.MapArray[Any, Any]", array))
    if pa.types.is_list(array.type) and pa.types.is_string(array.type.value_type):
        return _lists(cast("pa.ListArray[Any]", array))
    return None


def _maps(array: pa.MapArray[Any, Any]) -> pa.Array[Any] | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    keys = array.keys.slice(first, last - first)
    values = array.items.slice(first, last - first)
    if keys.null_count or not _are_sorted(array, keys):
        return None
    shown = _texts(values) if pa.types.is_string(values.type) else _numbers(values)
    names = _names(keys)
    if shown is None or names is None:
        return None
    shown = pc.fill_null(shown, "null")
    if len(keys) == len(array) and not array.null_count and _is_one_each(array):
        texts = pc.binary_join_element_wise("{", names, ": ", shown, "}", "")
        return cast("pa.Array[Any]", texts)
    entries = pc.binary_join_element_wise(names, shown, ": ")
    return _joined(array, entries, first, "{", "}")


def _lists(array: pa.ListArray[Any]) -> pa.Array[Any] | None:
    import pyarrow.compute as pc

    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    shown = _texts(array.values.slice(first, last - first))
    if shown is None:
        return None
    return _joined(array, pc.fill_null(shown, "null"), first, "[", "]")


def _joined(array: Any, entries: Any, first: int, opening: str, closing: str) -> pa.Array[Any]:
    """The entries of each row between brackets; a null row stays null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = pc.subtract(array.offsets, first).cast(pa.int32())
    rows: Any = pc.binary_join(pa.ListArray.from_arrays(offsets, entries), ", ")
    texts = pc.binary_join_element_wise(opening, rows, closing, "")
    return cast("pa.Array[Any]", pc.if_else(array.is_null(), pa.scalar(None, pa.string()), texts))


def _is_one_each(array: Any) -> bool:
    """Whether every row has one entry."""
    import pyarrow.compute as pc

    lengths = pc.min_max(pc.subtract(array.offsets[1:], array.offsets[:-1]))
    return bool(lengths["min"].as_py() == lengths["max"].as_py() == 1)


def _are_sorted(array: Any, keys: Any) -> bool:
    """Whether the keys rise within every row; the first of a row may be anything."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(keys) < 2 or pc.max(pc.subtract(array.offsets[1:], array.offsets[:-1])).as_py() < 2:
        return True
    rises = pc.less(keys.slice(0, len(keys) - 1), keys.slice(1))
    starts = pc.subtract(array.offsets, array.offsets[0])
    is_start = pc.is_in(
        pa.array(range(1, len(keys)), pa.int32()), value_set=starts.cast(pa.int32())
    )
    return bool(pc.all(pc.or_(rises, is_start)).as_py())


def _names(keys: Any) -> Any:
    """Keys as texts; there are many, and few that differ."""
    encoded = keys.dictionary_encode()
    names = _texts(encoded.dictionary)
    return None if names is None else names.take(encoded.indices)


def _texts(values: Any) -> Any:
    """Texts in quotes, escaped as JSON does; None when one holds a control character."""
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring_regex(values, _SPECIAL)).as_py():
        return pc.binary_join_element_wise('"', values, '"', "")
    if pc.any(pc.match_substring_regex(values, _CONTROL)).as_py():
        return None
    escaped = pc.replace_substring(pc.replace_substring(values, "\\", "\\\\"), '"', '\\"')
    return pc.binary_join_element_wise('"', escaped, '"', "")


def _numbers(values: Any) -> Any:
    """Floats as JSON numbers, NaN and infinity as null; each distinct one is worded once."""
    import pyarrow as pa

    if not pa.types.is_floating(values.type):
        return None
    encoded = values.dictionary_encode()
    # A float's repr is what JSON writes.
    words = [
        repr(value) if value is not None and abs(value) < float("inf") else "null"
        for value in encoded.dictionary.to_pylist()
    ]
    return pa.array(words, pa.string()).take(encoded.indices)
