"""JSON pages to typed Arrow batches: raw bytes of many pages, joined and parsed at once.

`pyarrow.json` costs as much per call as per page of a hundred records, so pages are put together up
to some megabytes; types are given, so nothing is guessed from what a page happens to hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crmetrics.http.failures import HttpError

if TYPE_CHECKING:
    import pyarrow as pa

Misfit = Callable[[str, list[Any], "pa.DataType"], "pa.Array[Any]"]

_JOINED_BYTES = 8 * 1024 * 1024
_JOINED_PAGES = 1_000
_RECORDS = "records"


class JsonRecords:
    """Reads the records of pages as batches with one column per field.

    path: dotted path of the list of records in a page; "" = the page is the list itself. fields:
    dotted path in a record -> Arrow type; a field that a record lacks is null, others are ignored.
    A value of another JSON kind than its type is taken over when that loses nothing (23.0 as an
    integer, 5 as text); where it would, the record is reported by HttpError.
    misfit: makes an array (of any type) of a field's values that are not all of its type, in place
    of that error; called with the field, the values and the type.
    """

    def __init__(
        self, path: str, fields: Mapping[str, pa.DataType], *, misfit: Misfit | None = None
    ) -> None:
        self._path = tuple(path.split(".")) if path else (_RECORDS,)
        self._is_bare = not path
        self._fields = dict(fields)
        self._misfit = misfit or _refused

    def batches(
        self, bodies: Iterable[bytes], *, joined_bytes: int = _JOINED_BYTES
    ) -> Iterator[pa.RecordBatch]:
        """One batch per some megabytes of pages; memory stays bounded.

        Raises HttpError for a page that is no JSON or has no list of records.
        """
        waiting: list[bytes] = []
        size = 0
        for body in bodies:
            waiting.append(self._line(body))
            size += len(body)
            if size >= joined_bytes or len(waiting) >= _JOINED_PAGES:
                batch = self._read(waiting)
                waiting, size = [], 0
                yield batch
                del batch
        if waiting:
            yield self._read(waiting)

    def _line(self, body: bytes) -> bytes:
        """The page as one line: inside its texts a line break is escaped, elsewhere it is space."""
        if b"\n" in body or b"\r" in body:
            body = body.replace(b"\n", b" ").replace(b"\r", b" ")
        return b'{"%s":%s}' % (_RECORDS.encode(), body) if self._is_bare else body.strip()

    def _read(self, lines: list[bytes]) -> pa.RecordBatch:
        import pyarrow as pa

        # pyarrow 26 dies of a line that is `null`: what is no object never gets there.
        if all(line[:1] == b"{" for line in lines):
            try:
                return self._parsed(lines)
            except pa.ArrowInvalid:
                pass
        return self._parsed_carefully(lines)

    # --- the quick way -------------------------------------------------------------------------

    def _parsed(self, lines: list[bytes]) -> pa.RecordBatch:
        import pyarrow as pa
        from pyarrow import json as arrow_json

        joined = b"\n".join(lines)
        source: Any = pa.BufferReader(joined)
        table = arrow_json.read_json(
            source,
            read_options=arrow_json.ReadOptions(
                use_threads=False, block_size=max(map(len, lines)) + 2
            ),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=self._envelope(), unexpected_field_behavior="ignore"
            ),
        )
        found: Any = table.column(self._path[0]).combine_chunks()
        if isinstance(found, pa.ChunkedArray):
            found = pa.concat_arrays(found.chunks) if found.num_chunks else pa.array([], found.type)
        for name in self._path[1:]:
            found = found.field(name)
        if found.null_count or len(found) != len(lines):
            raise pa.ArrowInvalid("a page without records")
        records = found.flatten()
        columns = [_column(records, name.split(".")) for name in self._fields]
        return pa.RecordBatch.from_arrays(columns, names=list(self._fields))

    def _envelope(self) -> pa.Schema:
        import pyarrow as pa

        kind: pa.DataType = pa.list_(_struct(self._fields))
        for name in reversed(self._path[1:]):
            kind = pa.struct([pa.field(name, kind)])
        return pa.schema([pa.field(self._path[0], kind)])

    # --- the careful way -----------------------------------------------------------------------

    def _parsed_carefully(self, lines: list[bytes]) -> pa.RecordBatch:
        import pyarrow as pa

        records = [record for line in lines for record in self._records(line)]
        columns = [
            self._typed(name, [_at(record, name.split(".")) for record in records], kind)
            for name, kind in self._fields.items()
        ]
        return pa.RecordBatch.from_arrays(columns, names=list(self._fields))

    def _typed(self, name: str, values: list[Any], kind: pa.DataType) -> pa.Array[Any]:
        import pyarrow as pa

        try:
            return _array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass
        return self._misfit(name, values, kind)

    def _records(self, line: bytes) -> list[Any]:
        try:
            found: Any = json.loads(line)
        except ValueError:
            found = None
        if found is None:
            raise HttpError(
                f"expected a page of JSON, found {_shown(line)}.", is_outcome_unknown=True
            )
        for name in self._path:
            found = found.get(name) if isinstance(found, dict) else None
        if not isinstance(found, list):
            what = "a list of records" if self._is_bare else f"the list {'.'.join(self._path)!r}"
            raise HttpError(
                f"expected a page with {what}, found {_shown(line)}.", is_outcome_unknown=True
            )
        return found


def _struct(fields: Mapping[str, pa.DataType]) -> pa.DataType:
    """The type of a record: dotted names become nested structs."""
    import pyarrow as pa

    nested: dict[str, dict[str, pa.DataType]] = {}
    members: dict[str, pa.DataType] = {}
    for name, kind in fields.items():
        first, _, rest = name.partition(".")
        if rest:
            nested.setdefault(first, {})[rest] = kind
            members.setdefault(first, pa.null())
        else:
            members[first] = kind
    return pa.struct(
        [
            pa.field(name, _struct(nested[name]) if name in nested else kind)
            for name, kind in members.items()
        ]
    )


def _column(records: Any, path: list[str]) -> pa.Array[Any]:
    """A field of struct values, null where one of the structs around it is null."""
    import pyarrow.compute as pc

    found: pa.Array[Any] = pc.struct_field(records, path)
    return found


def _at(record: Any, path: list[str]) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _refused(name: str, values: list[Any], kind: pa.DataType) -> pa.Array[Any]:
    raise HttpError(
        f"the field {name!r} holds values that are no {kind}: {_odd(values, kind)}.",
        is_outcome_unknown=True,
    )


def _array(values: list[Any], kind: pa.DataType) -> pa.Array[Any]:
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.array([_text(value) for value in values], kind)
    if pa.types.is_temporal(kind):
        return pa.array([_text(value) for value in values], pa.string()).cast(kind)
    if pa.types.is_integer(kind):
        # pyarrow would cut 1.5 down to 1 in silence.
        return (
            pa.array(values, pa.float64()).cast(kind)
            if _has_float(values)
            else pa.array(values, kind)
        )
    return pa.array(values, kind)


def _has_float(values: list[Any]) -> bool:
    return any(isinstance(value, float) for value in values)


def _odd(values: list[Any], kind: pa.DataType) -> str:
    import pyarrow as pa

    for value in values:
        try:
            _array([value], kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return repr(value)[:80]
    return "mixed kinds"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _shown(line: bytes) -> str:
    from crmetrics.secrets import redact

    return repr(redact(line[:200].decode("utf-8", "replace")))
