"""Durations as people write them: 90 (seconds), 10m, 1h, 1h30m, 2d."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

PATTERN = r"(\d+(\.\d+)?\s*[wdhms]\s*)+|\d+(\.\d+)?"
"""What `parse_duration` accepts, as a regular expression for editors."""

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms])\s*")
_UNITS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: str) -> timedelta | None:
    """The duration that `text` writes; None if it writes none. A bare number means seconds."""
    text = text.strip().lower()
    if not re.fullmatch(PATTERN, text):
        return None
    parts = _PART.findall(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else float(text)
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        return None
