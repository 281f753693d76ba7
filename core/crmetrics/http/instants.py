"""Instants in headers."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime


def instant_of(header: str) -> datetime | None:
    """The instant that a header names (`Wed, 21 Oct 2026 07:28:00 GMT`); None when it is none."""
    try:
        found = email.utils.parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
