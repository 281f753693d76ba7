"""Pipelines and their stages: what a stage id means."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from crmetrics_hubspot.api import HubSpotApi, UnavailableError
from crmetrics_hubspot.values import number_of

PROPERTIES: Mapping[str, tuple[str, str]] = {
    "deals": ("pipeline", "dealstage"),
    "tickets": ("hs_pipeline", "hs_pipeline_stage"),
    "leads": ("hs_pipeline", "hs_pipeline_stage"),
}
"""The properties with the pipeline and the stage of an object."""


@dataclass(frozen=True, slots=True)
class StageInfo:
    """A stage. place: its number in the pipeline, from 0. state: NEW, IN_PROGRESS, ... of leads."""

    id: str
    label: str
    pipeline: str
    place: int
    is_closed: bool
    probability: float | None
    state: str

    @property
    def is_won(self) -> bool:
        return self.is_closed and self.probability == 1.0


class Pipelines:
    """The pipelines of one object type."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        self.labels = {str(item["id"]): str(item.get("label") or item["id"]) for item in found}
        self.stages: dict[str, StageInfo] = {}
        for pipeline in found:
            stages = sorted(pipeline.get("stages", ()), key=lambda s: s.get("displayOrder") or 0)
            for place, stage in enumerate(stages):
                info = _stage(stage, self.labels[str(pipeline["id"])], place)
                self.stages[info.id] = info

    @property
    def fingerprint(self) -> str:
        """Changes when a pipeline or a stage comes, goes, moves or means something else."""
        told = repr((sorted(self.labels.items()), list(self.stages.values())))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def label(self, stage: str | None) -> str | None:
        """The label of a stage; a stage that was deleted keeps its id."""
        return self.stages[stage].label if stage in self.stages else stage

    def named(self, names: tuple[str, ...]) -> list[StageInfo]:
        """The stages with one of these labels or ids."""
        return [s for s in self.stages.values() if s.id in names or s.label in names]

    def fields(self, pipelines: Any, stages: Any) -> dict[str, Any]:
        """Columns about the pipeline and the stage of each record, from their ids."""
        found = [self.stages.get(stage) for stage in stages.to_pylist()]
        names = pipelines.to_pylist()
        return {
            "pipeline_label": pa.array([self.labels.get(n, n) for n in names], pa.string()),
            "stage_label": pa.array([self.label(s) for s in stages.to_pylist()], pa.string()),
            "stage_is_closed": pa.array([s.is_closed if s else None for s in found], pa.bool_()),
            "stage_is_won": pa.array([s.is_won if s else None for s in found], pa.bool_()),
            "stage_probability": pa.array(
                [s.probability if s else None for s in found], pa.float64()
            ),
        }


STAGE_FIELDS = frozenset(
    {"pipeline_label", "stage_label", "stage_is_closed", "stage_is_won", "stage_probability"}
)
"""Fields that a mapping may read of objects with pipelines, beside their properties."""


def read_pipelines(api: HubSpotApi, kind: str) -> Pipelines:
    """The pipelines of an object type; none where the account has none."""
    try:
        return Pipelines(api.json("pipelines", kind).get("results", []))
    except UnavailableError:
        return Pipelines([])


def _stage(stage: Mapping[str, Any], pipeline: str, place: int) -> StageInfo:
    """Metadata values are texts: "true", "0.4", "CLOSED"."""
    told = {key: str(value) for key, value in (stage.get("metadata") or {}).items()}
    is_closed = told.get("isClosed", "").lower() == "true" or told.get("ticketState") == "CLOSED"
    return StageInfo(
        str(stage["id"]),
        str(stage.get("label") or stage["id"]),
        pipeline,
        place,
        is_closed,
        number_of(told.get("probability")),
        told.get("leadState", ""),
    )
