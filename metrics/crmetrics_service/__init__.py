"""The pack `service`: response, handling, resolution, satisfaction, backlog and cost of cases."""

from __future__ import annotations

from crmetrics.plugin import MetricPack, hookimpl


@hookimpl
def crmetrics_metric_packs() -> list[MetricPack]:
    return [MetricPack.from_package(__name__, title="Service")]
