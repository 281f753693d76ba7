"""The pack `sales`: bookings, win rate, pipeline, cycle, forecast, quota."""

from __future__ import annotations

from crmetrics.plugin import MetricPack, hookimpl


@hookimpl
def crmetrics_metric_packs() -> list[MetricPack]:
    return [MetricPack.from_package(__name__, title="Sales")]
