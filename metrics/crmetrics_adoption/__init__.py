"""The pack `adoption`: who uses the CRM, how well, and how complete the data behind it is."""

from __future__ import annotations

from crmetrics.plugin import MetricPack, hookimpl


@hookimpl
def crmetrics_metric_packs() -> list[MetricPack]:
    return [MetricPack.from_package(__name__, title="Adoption")]
