"""Values that are not of the type that describe tells: custom fields are declared wrongly at times.

By queries and by bulk jobs alike, such a field comes as text for as many rows as were read
together, and the read goes on: an entry of `columns:` that wants text gets it, one that computes
with it fails with the record and the value. A number or an instant among such texts looks as it
does when the whole field is one (`5.0`, `2026-01-31 08:00:00+00`), so that it does not matter which
rows came together.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 40


class Misfits:
    """What was met of them; thread-safe. fields: (object, field) -> its type and an example."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.fields: dict[tuple[str, str], tuple[str, str]] = {}

    def settled(
        self, name: str, field: str, values: Sequence[Any], kind: pa.DataType
    ) -> pa.Array[Any]:
        """The values of a field as its type if all can be, else as texts, and then remembered."""
        import pyarrow as pa

        plain = pa.array([_plain(value) for value in values], pa.string())
        try:
            return plain.cast(kind)
        except pa.ArrowInvalid:
            pass
        texts = [text_of(value, kind) for value in values]
        example = next((t for t in texts if t is not None and not _fits(t, kind)), "")
        with self._lock:
            shown = example if len(example) <= _SHOWN else example[:_SHOWN] + "..."
            self.fields.setdefault((name, field), (_in_words(kind), shown))
        return pa.array(texts, pa.string())


def text_of(value: Any, kind: pa.DataType) -> str | None:
    """One value of a field that ought to be of this type as text; null stays null."""
    import pyarrow as pa

    text = _plain(value)
    if text is None:
        return None
    try:
        if pa.types.is_floating(kind) and not isinstance(value, bool):
            return str(float(text))
        if pa.types.is_timestamp(kind):
            at = datetime.fromisoformat(text)
            at = at.astimezone(UTC) if at.tzinfo else at
            part = f".{at.microsecond:06}".rstrip("0").rstrip(".")
            return f"{at:%Y-%m-%d %H:%M:%S}{part}+00"
    except ValueError:
        return text
    return text


def _plain(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)


def _fits(text: str, kind: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        pa.array([text], pa.string()).cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _in_words(kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_floating(kind):
        return "a number"
    if pa.types.is_boolean(kind):
        return "true or false"
    return "a date and time" if pa.types.is_timestamp(kind) else "a date"
