"""The pack `revenue`: revenue, MRR and its movements, margin, baskets, up-sell, forecast."""

from __future__ import annotations

from crmetrics.plugin import MetricPack, hookimpl


@hookimpl
def crmetrics_metric_packs() -> list[MetricPack]:
    return [MetricPack.from_package(__name__, title="Revenue")]
