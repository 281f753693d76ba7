"""Value types of the project file that say what they expect.

A validator raises `expected(...)` or `stated(...)`; the reader of the file adds what was found and
where. No message here holds the value itself: it may be a secret.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from crmetrics.errors import did_you_mean

EXPECTED, STATED = "expected", "stated"

_LONGEST_NAME = 64
"""Names are parts of file names, which end at 255 bytes."""


def expected(what: str, hint: str = "") -> PydanticCustomError:
    """The finding `PATH: expected WHAT, found ...`."""
    return PydanticCustomError(EXPECTED, "expected {what}", {"what": what, "hint": hint})


def stated(what: str, hint: str = "") -> PydanticCustomError:
    """The finding `PATH: WHAT.`"""
    return PydanticCustomError(STATED, "{what}", {"what": what, "hint": hint})


def _text(value: str) -> str:
    if not value.strip():
        raise expected("a text that is not empty")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", value):
        raise expected("a name of letters, digits, '_', '-' and '.'")
    if len(value) > _LONGEST_NAME:
        raise expected(f"a name of at most {_LONGEST_NAME} characters")
    return value


def refuse_bool(value: Any) -> Any:
    # To pydantic `true` is the number 1.
    if isinstance(value, bool):
        raise expected("a number")
    if isinstance(value, str) and value.strip().endswith("%"):
        raise expected("a number", "Percent is written as a fraction: 40 % is 0.4.")
    return value


_HOST_ZONES = ("localtime", "posixrules", "Factory")


def is_timezone(name: str) -> bool:
    """True for a zone of the IANA database; names that mean another zone on each host are none."""
    if not name or name in _HOST_ZONES or name.startswith(("posix/", "right/")):
        return False
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return False
    return True


def timezone_hint(name: str) -> str:
    """Zones whose name is close to `name`, by its last part too (`New York`)."""
    from zoneinfo import available_timezones

    zones = sorted(available_timezones() - set(_HOST_ZONES))
    wanted = name.strip().replace(" ", "_").lower()
    same = [zone for zone in zones if zone.rpartition("/")[2].lower() == wanted]
    return did_you_mean(same[0], same[:1]) if same else did_you_mean(name, zones, limit=1)


def _timezone(value: str) -> str:
    if not is_timezone(value):
        raise expected("an IANA time zone such as Europe/Berlin", timezone_hint(value))
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise expected("a duration above zero")
    return value


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise expected("a duration of zero or more")
    return value


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            first = values.index(value)
            raise stated(f"entries {first + 1} and {index + 1} of the list are the same")
    return values


def lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[str, AfterValidator(_name)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Number = Annotated[float, BeforeValidator(refuse_bool), Field(allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(refuse_bool), Field(ge=1)]
CountOrZero = Annotated[int, BeforeValidator(refuse_bool), Field(ge=0)]
PositiveDuration = Annotated[timedelta, AfterValidator(_positive)]
Duration = Annotated[timedelta, AfterValidator(_not_negative)]
Unique = AfterValidator(_unique)
