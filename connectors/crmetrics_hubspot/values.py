"""HubSpot's texts as typed Arrow columns: everything on the wire is text or null.

`""` is a cleared property: null. A value that does not fit the type of its property is read as null
and reported; it never stops a read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as _compute

from crmetrics.plugin import redact

# The stubs give one overload per type and reject a type that is known at run time.
compute: Any = _compute
nulls: Any = pa.nulls

INSTANT = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(28, 10)
_MOST_MONEY = Decimal("99999999999999.9999")
"""What a canonical column of money holds."""
_MOST = 1e18
"""What a canonical column of whole numbers holds, about."""
_FIRST, _END = datetime(2, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Instants with a day before and after them in every zone; others stand for always or never."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY, _END_DAY = _FIRST.date(), _END.date()
_DIGITS = r"^-?\d{9,}$"
_SHOWN = 40


@dataclass
class Misfits:
    """Values that do not fit their property's type: how many, and an example of each.

    latest: property -> in which records of the latest batch.
    """

    object: str
    found: dict[str, tuple[int, str]] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, count: int, example: str) -> None:
        before, first = self.found.get(name, (0, example))
        self.found[name] = (before + count, first)

    def notices(self) -> list[str]:
        return [
            redact(
                f"{self.object}.{name}: {count} values do not fit the property's type, such as "
                f"{example[:_SHOWN]!r}; they are read as null."
            )
            for name, (count, example) in self.found.items()
        ]


def typed(batch: pa.RecordBatch, types: Mapping[str, pa.DataType], misfits: Misfits) -> list[Any]:
    """The columns of a batch of texts in these types, in the order of `types`."""
    misfits.latest = {}
    return [_typed(name, batch.column(name), kind, misfits) for name, kind in types.items()]


def _typed(name: str, texts: Any, kind: pa.DataType, misfits: Misfits) -> Any:
    if texts.null_count == len(texts):
        return nulls(len(texts), kind)
    cleared = compute.equal(texts, "")
    if compute.any(cleared).as_py():
        texts = compute.if_else(cleared, None, texts)
    if pa.types.is_string(kind):
        return texts
    try:
        found = _fast(texts, kind)
    except pa.ArrowInvalid:
        return _slow(name, texts, kind, misfits)
    return found if _are_usable(found) else _slow(name, texts, kind, misfits)


def _fast(texts: Any, kind: pa.DataType) -> Any:
    """All values at once; raises ArrowInvalid when one of them is unusual."""
    if pa.types.is_boolean(kind):
        return texts.cast(pa.bool_())
    if pa.types.is_date(kind):
        return texts.cast(pa.date32())
    return texts.cast(kind)


def _are_usable(found: Any) -> bool:
    """Whether all these values can be counted with, beside being of their type."""
    if found.type == INSTANT:
        inside = _are_between(found, pa.scalar(_FIRST, INSTANT), pa.scalar(_END, INSTANT))
    elif pa.types.is_date(found.type):
        inside = _are_between(found, pa.scalar(_FIRST_DAY), pa.scalar(_END_DAY))
    elif found.type == MONEY:
        inside = compute.less_equal(compute.abs(found), pa.scalar(_MOST_MONEY, MONEY))
    elif pa.types.is_floating(found.type):
        inside = compute.less_equal(compute.abs(found), _MOST)  # not so for NaN
    else:
        return True
    return bool(compute.all(inside).as_py())


def _are_between(found: Any, first: Any, end: Any) -> Any:
    return compute.and_(compute.greater_equal(found, first), compute.less(found, end))


def _slow(name: str, texts: Any, kind: pa.DataType, misfits: Misfits) -> Any:
    """Value by value: 60 digits of a fraction, thousands separators, milliseconds, nonsense."""
    read = _reader(kind)
    known: dict[str, Any] = {}
    values: list[Any] = []
    wrong, example = 0, ""
    for text in texts.to_pylist():
        if text is None:
            values.append(None)
            continue
        if text not in known:
            known[text] = read(text)
        if known[text] is None:
            wrong, example = wrong + 1, example or text
        values.append(known[text])
    found = pa.array(values, kind)
    if wrong:
        misfits.add(name, wrong, example)
        misfits.latest[name] = compute.and_(compute.is_null(found), compute.is_valid(texts))
    return found


def _reader(kind: pa.DataType) -> Callable[[str], Any]:
    if pa.types.is_boolean(kind):
        return lambda text: {"true": True, "false": False}.get(text.strip().lower())
    if pa.types.is_decimal(kind):
        return _money
    if pa.types.is_floating(kind):
        return _number
    return _day if pa.types.is_date(kind) else _instant


def _number(text: str) -> float | None:
    try:
        found = float(_plain(text))
    except ValueError:
        return None
    return found if abs(found) <= _MOST else None  # not so for NaN


def _money(text: str) -> Decimal | None:
    try:
        found = round(Decimal(_plain(text)), MONEY.scale)
        return found if abs(found) <= _MOST_MONEY else None
    except InvalidOperation:  # also when NaN is compared
        return None


def _plain(text: str) -> str:
    """A number without thousands separators (`1,234.50`)."""
    text = text.strip()
    return text.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text) else text


def _instant(text: str) -> Any:
    """Milliseconds since 1970, or ISO 8601 with or without a fraction; in UTC without a zone."""
    try:
        found: Any = pa.scalar(text).cast(INSTANT).as_py()
    except (pa.ArrowInvalid, OverflowError, ValueError):
        return instant_of(text)
    return found if _FIRST <= found < _END else None


def instant_of(text: Any) -> datetime | None:
    """One instant as HubSpot writes them, in UTC; None when it is none of this world."""
    told = str(text)
    try:
        if re.match(_DIGITS, told):
            found = _EPOCH + timedelta(milliseconds=int(told))
        else:
            found = datetime.fromisoformat(told)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None
    return found if _FIRST <= found < _END else None


def number_of(value: Any) -> float | None:
    """A number that can be counted with; None when it is none."""
    return _number(str(value))


def _day(text: str) -> Any:
    """A day, or an instant at midnight UTC that stands for one."""
    try:
        found: date = pa.scalar(text).cast(pa.date32()).as_py()
    except pa.ArrowInvalid:
        instant = _instant(text)
        return None if instant is None else instant.date()
    except (OverflowError, ValueError):  # the year 0
        return None
    return found if _FIRST_DAY <= found < _END_DAY else None


_ARROW: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "number": pa.float64(),
    "date": pa.date32(),
    "datetime": INSTANT,
}


def arrow_type(kind: str, uses: set[str]) -> pa.DataType:
    """The Arrow type of a property of HubSpot type `kind`.

    uses: types of the canonical columns that read it. Ids are numbers at HubSpot and stay text;
    what becomes money is never a binary fraction.
    """
    if kind == "number" and uses == {"string"}:
        return pa.string()
    if kind == "number" and "money" in uses:
        return MONEY
    return _ARROW.get(kind, pa.string())
