"""Tell people: build the message of a run and hand it to the sinks.

`build_message` turns judged results into words, `deliver` gives them to every sink with an
idempotency key, and keeps what became of it.
"""

from crmetrics.deliver.dispatch import DeliveryLedger, Outcome, deliver, delivery_key
from crmetrics.deliver.lines import Facts, Series
from crmetrics.deliver.report import build_message
from crmetrics.deliver.sensitivity import detail_of
from crmetrics.deliver.wording import value_text

__all__ = [
    "DeliveryLedger",
    "Facts",
    "Outcome",
    "Series",
    "build_message",
    "deliver",
    "delivery_key",
    "detail_of",
    "value_text",
]
