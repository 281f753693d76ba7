"""The pack `roi`: what customers, service and the CRM cost, and what they bring."""

from __future__ import annotations

from crmetrics.plugin import MetricPack, hookimpl


@hookimpl
def crmetrics_metric_packs() -> list[MetricPack]:
    return [MetricPack.from_package(__name__, title="Return on investment")]
