"""Tell people: build the message of a run and hand it to the sinks.

`build_message` turns judged results into words, `deliver` gives them to every sink with an
idempotency key, and keeps what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmetrics.deliver.dispatch import deliver, restates
    from crmetrics.deliver.keys import definitions_text, delivery_key
    from crmetrics.deliver.ledger import (
        DeliveryLedger,
        DeliveryRecord,
        DeliveryStatus,
        Ledger,
        Place,
        channel_of,
        create_deliveries,
        deliveries,
    )
    from crmetrics.deliver.lines import Facts, Series
    from crmetrics.deliver.report import build_message
    from crmetrics.deliver.sensitivity import detail_of
    from crmetrics.deliver.terms import Outcome, Terms
    from crmetrics.deliver.told import Threshold, has_changed
    from crmetrics.deliver.whereabouts import last_told
    from crmetrics.deliver.wording import coverage_share, value_text

__all__ = [
    "DeliveryLedger",
    "DeliveryRecord",
    "DeliveryStatus",
    "Facts",
    "Ledger",
    "Outcome",
    "Place",
    "Series",
    "Terms",
    "Threshold",
    "build_message",
    "channel_of",
    "coverage_share",
    "create_deliveries",
    "definitions_text",
    "deliver",
    "deliveries",
    "delivery_key",
    "detail_of",
    "has_changed",
    "last_told",
    "restates",
    "value_text",
]

_HOMES: Mapping[str, str] = {
    name: module
    for module, names in {
        "crmetrics.deliver.dispatch": (
            "deliver",
            "restates",
        ),
        "crmetrics.deliver.keys": (
            "definitions_text",
            "delivery_key",
        ),
        "crmetrics.deliver.ledger": (
            "DeliveryLedger",
            "DeliveryRecord",
            "DeliveryStatus",
            "Ledger",
            "Place",
            "channel_of",
            "create_deliveries",
            "deliveries",
        ),
        "crmetrics.deliver.lines": (
            "Facts",
            "Series",
        ),
        "crmetrics.deliver.report": ("build_message",),
        "crmetrics.deliver.sensitivity": ("detail_of",),
        "crmetrics.deliver.terms": (
            "Outcome",
            "Terms",
        ),
        "crmetrics.deliver.told": (
            "Threshold",
            "has_changed",
            "last_told",
        ),
        "crmetrics.deliver.whereabouts": ("last_told",),
        "crmetrics.deliver.wording": (
            "coverage_share",
            "value_text",
        ),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    """Each name on first use: a question needs the wording of values alone."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
