"""The pack `marketing`: spend and its return, campaigns, their orders, and who still listens."""

from __future__ import annotations

from crmetrics.plugin import MetricPack, hookimpl


@hookimpl
def crmetrics_metric_packs() -> list[MetricPack]:
    return [MetricPack.from_package(__name__, title="Marketing")]
