"""Numbers and booleans in text, under the decimal mark and thousands separator of the file."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

from crmetrics_csv.dates import UnreadableError
from crmetrics_csv.options import FileRules

TRUE_TEXTS = ("true", "t", "yes", "y", "1")
FALSE_TEXTS = ("false", "f", "no", "n", "0")
MONEY_LIMIT = Decimal(10) ** 14
"""Money is decimal(18,4): fourteen digits before the point."""

_CENT_FRACTION = Decimal("0.0001")
_CONVENTIONS = ((".", ","), (",", "."), (",", " "), (".", " "), (".", "'"), (",", None))
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2212": "-"})
_BARE = re.compile(r"[-+]?[\d.,' ]*\d[\d.,' ]*")


@lru_cache(maxsize=64)
def _pattern(decimal: str, thousands: str | None) -> re.Pattern[str]:
    whole = r"\d+"
    if thousands is not None:
        whole = rf"(?:\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+)"
    point = re.escape(decimal)
    return re.compile(rf"[-+]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def _plain(text: str, decimal: str, thousands: str | None) -> str | None:
    """The number as Python writes it, or None when the text does not follow the convention."""
    text = text.translate(_SPACES)
    if _pattern(decimal, thousands).fullmatch(text) is None:
        return None
    if thousands is not None:
        text = text.replace(thousands, "")
    return text.replace(decimal, ".")


def plain_number(text: str, rules: FileRules) -> str:
    """A number written with a decimal point and nothing else.

    Raises UnreadableError, with the readings that other options would give.
    """
    plain = _plain(text, rules.decimal, rules.thousands)
    if plain is None:
        raise _unreadable(text, rules)
    return plain


def read_float(text: str, rules: FileRules) -> float:
    value = float(plain_number(text, rules))
    if value in (float("inf"), float("-inf")):
        raise UnreadableError("out of the range of numbers")
    return value


def read_money(text: str, rules: FileRules) -> Decimal:
    """The amount, rounded half up to four decimals."""
    value = Decimal(plain_number(text, rules))
    # Rounding up may be what makes it too large, and what is far too large cannot be rounded.
    if value.copy_abs() < MONEY_LIMIT:
        value = value.quantize(_CENT_FRACTION, ROUND_HALF_UP)
    if value.copy_abs() >= MONEY_LIMIT:
        raise UnreadableError("more than 14 digits before the decimal mark")
    return value


def read_int(text: str, rules: FileRules) -> int:
    value = Decimal(plain_number(text, rules))
    if value.adjusted() > 18 or not -(2**63) <= value < 2**63:
        raise UnreadableError("out of the range of whole numbers")
    if value != value.to_integral_value():
        raise UnreadableError("not a whole number")
    return int(value)


def read_bool(text: str) -> bool:
    folded = text.casefold()
    if folded in TRUE_TEXTS:
        return True
    if folded in FALSE_TEXTS:
        return False
    raise UnreadableError(
        "", "Map the column with an expression, such as `field = 'Won'`, if it says it otherwise."
    )


def _unreadable(text: str, rules: FileRules) -> UnreadableError:
    """Why a text is no number, with what it would be under other conventions."""
    text = text.translate(_SPACES)
    found: dict[Decimal, str] = {}
    for decimal, thousands in _CONVENTIONS:
        plain = _plain(text, decimal, thousands)
        if plain is not None:
            options = f"decimal: '{decimal}'"
            if thousands is not None and thousands in text:
                options += f", thousands: {_quoted(thousands)}"
            found.setdefault(Decimal(plain), options)
    if found:
        readings = " or ".join(f"{value:f} ({options})" for value, options in found.items())
        fix = f"Set what it means under {rules.option_path}."
        return UnreadableError(f"can be {readings}", fix)
    if _BARE.fullmatch(text):
        return UnreadableError("its separators stand in odd places")
    return UnreadableError(
        "", "Map the column with an expression, such as `replace(field, '$', '')::decimal(18,4)`."
    )


def _quoted(mark: str) -> str:
    return f'"{mark}"' if mark == "'" else f"'{mark}'"
