"""The pack `retention`: customers kept, lost and won back, recurring revenue kept, NPS."""

from __future__ import annotations

from crmetrics.plugin import MetricPack, hookimpl


@hookimpl
def crmetrics_metric_packs() -> list[MetricPack]:
    return [MetricPack.from_package(__name__, title="Retention")]
