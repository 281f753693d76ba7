"""Instants in headers, as servers and gateways write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crmetrics.http.instants import instant_of

NOON = datetime(2026, 10, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "instant"),
    [
        ("Wed, 21 Oct 2026 12:00:00 GMT", NOON),
        ("Wed, 21 Oct 2026 12:00:00 -0000", NOON),  # a zone that is not known
        ("Wed, 21 Oct 2026 14:00:00 +0200", NOON),
        ("Wednesday, 21-Oct-26 12:00:00 GMT", NOON),
        ("", None),
        ("soon", None),
        ("Wed, 41 Oct 2026 12:00:00 GMT", None),
        ("Wed, 21 Oct 2026 12:00:00 +99999999999999", None),
    ],
)
def test_an_instant_is_in_utc_or_there_is_none(header: str, instant: datetime | None) -> None:
    found = instant_of(header)
    assert found == instant
    assert found is None or found.utcoffset() in (timedelta(), timedelta(hours=2))
