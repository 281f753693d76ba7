"""The pack `team_metrics`: definitions of one team, kept beside its project."""

from __future__ import annotations

from crmetrics.plugin import MetricPack, hookimpl


@hookimpl
def crmetrics_metric_packs() -> list[MetricPack]:
    return [MetricPack.from_package(__name__, title="Team metrics")]
