"""Arrow arrays of any type to the canonical types, with what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from crmetrics.plugin import Column
from crmetrics_csv import amounts
from crmetrics_csv.arrow import Array
from crmetrics_csv.arrow import compute as pc
from crmetrics_csv.dates import Moment, Order, UnreadableError, contradicts_iso, read_moment
from crmetrics_csv.options import FileRules
from crmetrics_csv.zones import UTC_MICROS as _UTC
from crmetrics_csv.zones import to_instants

NULL_TEXTS = ("", "null", "nan", "n/a", "#n/a")
"""Read as null, in any case, in columns that hold no text."""

EXPECTED = {
    "string": "a text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "money": "an amount",
    "date": "a date",
    "timestamp": "a timestamp",
}
_AS_READ = frozenset(("string", "bool", "int", "date", "timestamp"))
"""Columns that take every value of an array of their type."""

_NAIVE = pa.timestamp("us")
_WIDE = pa.decimal128(38, 18)
_MONEY = pa.decimal128(18, 4)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One value of an array that is no value of the column's type."""

    index: int
    text: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Converted:
    """An array of the canonical type; what could not be read is null in it and listed."""

    array: Array
    unreadable: tuple[Unreadable, ...] = ()


class UnfitTypeError(Exception):
    """No value of this Arrow type can fill the column."""


def convert(array: Array, column: Column, rules: FileRules, order: Order | None) -> Converted:
    """`array` as the type of `column`.

    Text is parsed; other types are cast where that loses nothing but digits behind the fourth
    decimal of money. Null texts of string columns are the reader's business, not done here.
    Raises UnfitTypeError, and OrderUnknownError when a date needs an order that is not known.
    """
    kind = column.type
    if array.type == column.arrow_type and (kind in _AS_READ or array.null_count == len(array)):
        return Converted(array)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if is_text(array.type):
        texts = array if array.type == pa.string() else array.cast(pa.string())
        return Converted(texts) if kind == "string" else _from_text(texts, kind, rules, order)
    if pa.types.is_null(array.type):
        return Converted(array.cast(column.arrow_type))
    try:
        return _CASTS[kind](array, rules)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise UnfitTypeError(f"{array.type}: {exc}") from exc


def is_text(kind: pa.DataType) -> bool:
    """True for text of any encoding."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def null_out(texts: Array, tokens: Sequence[str]) -> Array:
    """`texts` with the empty text and the configured null texts as null."""
    is_null = pc.is_in(texts, value_set=pa.array(["", *tokens], texts.type))
    kept: Array = pc.if_else(is_null, pa.scalar(None, texts.type), texts)
    return kept


# --- from text --------------------------------------------------------------------------------


def _from_text(texts: Array, kind: str, rules: FileRules, order: Order | None) -> Converted:
    texts = pc.utf8_trim_whitespace(texts)
    is_null = pc.is_in(pc.utf8_lower(texts), value_set=pa.array(NULL_TEXTS))
    if rules.null_values:
        is_null = pc.or_(is_null, pc.is_in(texts, value_set=pa.array(rules.null_values)))
    texts = pc.if_else(is_null, pa.scalar(None, pa.string()), texts)
    whole = _at_once(texts, kind, rules)
    return Converted(whole) if whole is not None else _by_value(texts, kind, rules, order)


def _at_once(texts: Array, kind: str, rules: FileRules) -> Array | None:
    """The array cast by Arrow, or None when a value needs a closer look."""
    has_point = rules.decimal == "." and rules.thousands is None
    try:
        if kind == "float" and has_point:
            values = texts.cast(pa.float64())
            return values if pc.all(pc.is_finite(values)).as_py() is not False else None
        if kind == "money" and has_point:
            return _rounded(texts.cast(_WIDE))
        if kind == "date" and not contradicts_iso(rules):
            return texts.cast(pa.date32())
        if kind == "timestamp" and not contradicts_iso(rules):
            return _iso_instants(texts, rules.zone)
    except pa.ArrowInvalid:
        return None
    return None


def _iso_instants(texts: Array, zone: str) -> Array:
    try:
        return to_instants(texts.cast(_NAIVE), zone)
    except pa.ArrowInvalid:  # perhaps all of them name an offset
        return texts.cast(_UTC)


def _by_value(texts: Array, kind: str, rules: FileRules, order: Order | None) -> Converted:
    """Each distinct text is parsed once."""
    encoded = texts.dictionary_encode()
    parse = _parser(kind, rules, order)
    values: list[Any] = []
    failures: dict[int, UnreadableError] = {}
    distinct: list[Any] = encoded.dictionary.to_pylist()
    for index, text in enumerate(distinct):
        try:
            values.append(parse(text))
        except UnreadableError as exc:
            values.append(None)
            failures[index] = exc
    array = _built(values, kind, rules).take(encoded.indices)
    return Converted(array, _failures(texts, encoded.indices, failures))


def _failures(
    texts: Array, indices: Array, failures: dict[int, UnreadableError]
) -> tuple[Unreadable, ...]:
    """The first rows that hold an unreadable value, in row order."""
    if not failures:
        return ()
    is_bad = pc.is_in(indices, value_set=pa.array(list(failures), indices.type))
    rows = pc.indices_nonzero(is_bad).slice(0, 10).to_pylist()
    found = []
    for row in rows:
        exc = failures[indices[row].as_py()]
        found.append(Unreadable(row, texts[row].as_py(), exc.reason, exc.hint))
    return tuple(found)


def _parser(kind: str, rules: FileRules, order: Order | None) -> Callable[[str], Any]:
    if kind == "float":
        return lambda text: amounts.read_float(text, rules)
    if kind == "money":
        return lambda text: amounts.read_money(text, rules)
    if kind == "int":
        return lambda text: amounts.read_int(text, rules)
    if kind == "bool":
        return amounts.read_bool
    if kind == "date":
        return lambda text: _local_day(read_moment(text, rules, order, is_day=True), rules)
    return lambda text: _checked(read_moment(text, rules, order, is_day=False))


def _local_day(moment: Moment, rules: FileRules) -> date:
    """The day; for an instant with an offset, the day it falls into in the reporting zone."""
    instant = moment.instant
    return instant.astimezone(ZoneInfo(rules.reporting_zone)).date() if instant else moment.day


def _checked(moment: Moment) -> Moment:
    _ = moment.instant  # out of range shows here, where the value is known
    return moment


def _built(values: list[Any], kind: str, rules: FileRules) -> Array:
    """Parsed values as an array of the canonical type."""
    if kind != "timestamp":
        types = {
            "float": pa.float64(),
            "money": _MONEY,
            "int": pa.int64(),
            "bool": pa.bool_(),
            "date": pa.date32(),
        }
        return pa.array(values, types[kind])
    instants: list[datetime | None] = [moment.instant if moment else None for moment in values]
    local = [
        m.naive if m and instant is None else None
        for m, instant in zip(values, instants, strict=True)
    ]
    assumed = to_instants(pa.array(local, _NAIVE), rules.zone)
    both: Array = pc.coalesce(pa.array(instants, _UTC), assumed)
    return both


# --- from other types -------------------------------------------------------------------------


def _rounded(values: Array) -> Array:
    """Decimals as money: four decimals, halves away from zero. ArrowInvalid when too large."""
    money: Array = pc.round(values, 4, round_mode="half_towards_infinity").cast(_MONEY)
    if _exceeds_money(money):
        raise pa.ArrowInvalid("more than 14 digits before the decimal point")
    return money


def _exceeds_money(money: Array) -> bool:
    # Arrow's CSV reader and its casts let 19 digits into a decimal of 18.
    extremes = pc.min_max(money).as_py().values()
    return any(value is not None and abs(value) >= amounts.MONEY_LIMIT for value in extremes)


def _flagged(array: Array, is_bad: Array, reason: str) -> Converted:
    """The array with its bad values as null, and the first of them listed."""
    rows = pc.indices_nonzero(is_bad).slice(0, 10).to_pylist()
    found = tuple(Unreadable(row, str(array[row].as_py()), reason, "") for row in rows)
    return Converted(pc.if_else(is_bad, pa.scalar(None, array.type), array), found)


def _checked_money(money: Array) -> Converted:
    if not _exceeds_money(money):
        return Converted(money)
    limit = pa.scalar(amounts.MONEY_LIMIT, pa.decimal128(38, 4))
    is_bad = pc.fill_null(pc.greater_equal(pc.abs(money.cast(limit.type)), limit), False)
    return _flagged(money, is_bad, "more than 14 digits before the decimal point")


def _money(array: Array, rules: FileRules) -> Converted:
    if array.type == _MONEY:
        return _checked_money(array)
    if pa.types.is_floating(array.type):
        finite = _float(array, rules)
        too_large = pc.fill_null(
            pc.greater_equal(pc.abs(finite.array), float(amounts.MONEY_LIMIT)), False
        )
        within = _flagged(finite.array, too_large, "more than 14 digits before the decimal point")
        return Converted(within.array.cast(_MONEY), finite.unreadable + within.unreadable)
    if pa.types.is_decimal(array.type):
        widest = array.cast(pa.decimal256(76, max(array.type.scale, 4)))
        return Converted(_rounded(widest))
    _require(array, pa.types.is_integer)
    return Converted(_rounded(array.cast(pa.decimal128(38, 4))))


def _float(array: Array, rules: FileRules) -> Converted:
    """NaN is what other tools write for null; infinity is no number."""
    _require(array, is_number)
    values = array.cast(pa.float64(), safe=False)
    if pc.all(pc.is_finite(values)).as_py() is not False:
        return Converted(values)
    if pc.any(pc.is_nan(values)).as_py():
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    if pc.any(pc.is_inf(values)).as_py():
        return _flagged(values, pc.fill_null(pc.is_inf(values), False), "infinite")
    return Converted(values)


def is_number(kind: pa.DataType) -> bool:
    """True for integers, floats and decimals."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _require(array: Array, fits: Callable[[pa.DataType], Any]) -> None:
    if not fits(array.type):
        raise UnfitTypeError(str(array.type))


def _int(array: Array, rules: FileRules) -> Converted:
    _require(array, is_number)
    if not pa.types.is_floating(array.type):
        return Converted(array.cast(pa.int64()))
    values = _float(array, rules)
    is_broken = pc.fill_null(pc.not_equal(values.array, pc.floor(values.array)), False)
    whole = _flagged(values.array, is_broken, "not a whole number")
    return Converted(whole.array.cast(pa.int64()), values.unreadable + whole.unreadable)


def _bool(array: Array, rules: FileRules) -> Converted:
    if pa.types.is_boolean(array.type):
        return Converted(array)
    numbers = _int(array, rules)
    is_other = pc.invert(pc.is_in(numbers.array, value_set=pa.array([0, 1, None], pa.int64())))
    flags = _flagged(numbers.array, is_other, "neither 0 nor 1")
    return Converted(flags.array.cast(pa.bool_()), numbers.unreadable + flags.unreadable)


def _date(array: Array, rules: FileRules) -> Converted:
    if pa.types.is_timestamp(array.type):
        if array.type.tz is not None:
            local = array.cast(pa.timestamp(array.type.unit, rules.reporting_zone))
            array = pc.local_timestamp(local)
        return Converted(pc.floor_temporal(array, unit="day").cast(pa.date32()))
    _require(array, pa.types.is_date)
    return Converted(array.cast(pa.date32()))


def _timestamp(array: Array, rules: FileRules) -> Converted:
    if pa.types.is_timestamp(array.type):
        if array.type.tz is not None:
            return Converted(array.cast(_UTC, safe=False))
        return Converted(to_instants(array.cast(_NAIVE, safe=False), rules.zone))
    _require(array, pa.types.is_date)
    return Converted(to_instants(array.cast(pa.date32()).cast(_NAIVE), rules.zone))


def _string(array: Array, rules: FileRules) -> Converted:
    """Whole floats lose their `.0`: where ids can be null, many tools hold them as floats."""
    if pa.types.is_nested(array.type) or pa.types.is_binary(array.type):
        raise UnfitTypeError(str(array.type))
    return Converted(array.cast(pa.string()))


_CASTS: dict[str, Callable[[Array, FileRules], Converted]] = {
    "string": _string,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "money": _money,
    "date": _date,
    "timestamp": _timestamp,
}
