"""Tell people: build the message of a run and hand it to the sinks.

`build_message` turns judged results into words, `deliver` gives them to every sink with an
idempotency key, and keeps what became of it.
"""

from crmetrics.deliver.dispatch import Outcome, Terms, deliver, delivery_key
from crmetrics.deliver.ledger import (
    DeliveryLedger,
    DeliveryRecord,
    DeliveryStatus,
    Ledger,
    create_deliveries,
    deliveries,
)
from crmetrics.deliver.lines import Facts, Series
from crmetrics.deliver.report import build_message
from crmetrics.deliver.sensitivity import detail_of
from crmetrics.deliver.told import Threshold, has_changed
from crmetrics.deliver.wording import coverage_share, value_text

__all__ = [
    "DeliveryLedger",
    "DeliveryRecord",
    "DeliveryStatus",
    "Facts",
    "Ledger",
    "Outcome",
    "Series",
    "Terms",
    "Threshold",
    "build_message",
    "coverage_share",
    "create_deliveries",
    "deliver",
    "deliveries",
    "delivery_key",
    "detail_of",
    "has_changed",
    "value_text",
]
