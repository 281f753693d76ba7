"""All streams, as they are before a project file adapts them."""

from __future__ import annotations

from crmetrics_salesforce.field_history import FIELD_HISTORY_STREAM
from crmetrics_salesforce.mapping import STREAMS
from crmetrics_salesforce.rates import RATE_STREAMS
from crmetrics_salesforce.service_streams import SERVICE_STREAMS
from crmetrics_salesforce.streams import Stream
from crmetrics_salesforce.surveys import SURVEY_STREAM
from crmetrics_salesforce.targets import TARGET_STREAMS

EVERY_STREAM: tuple[Stream, ...] = (
    *STREAMS,
    *SERVICE_STREAMS,
    FIELD_HISTORY_STREAM,
    *TARGET_STREAMS,
    *RATE_STREAMS,
    SURVEY_STREAM,
)


def objects_of(dataset: str) -> list[str]:
    """The objects that records of a dataset come from, those included that take the place of
    another; empty for a dataset that Salesforce has no objects for."""
    return list(dict.fromkeys(s.object for s in EVERY_STREAM if s.dataset == dataset))
