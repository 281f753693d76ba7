"""Base models for what a plugin reads from the project file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True, slots=True)
class Slot:
    """A delivery as its place may be named after it. start, end: first day of the period,
    and the day after its last; period: its label, such as 2026-01."""

    job: str
    grain: str
    project: str
    start: date
    end: date
    period: str

    def of(self, job: str) -> Slot:
        """The same period of another job."""
        return replace(self, job=job)


class Options(BaseModel):
    """A section of the project file: immutable, unknown keys are errors, values never leak."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        validate_default=True,
    )

    def required_extras(self) -> Iterable[str]:
        """Extras of the plugin's distribution that these values need, for those who install it."""
        return ()

    def local_paths(self) -> Iterable[str]:
        """Files and folders of this machine that are written, as the project file has them; who
        runs a job on a machine that is thrown away keeps them."""
        return ()

    def overwrites(self, slot: Slot) -> Iterable[str]:
        """What a sink replaces with this delivery: addresses, or paths as the project file has
        them. Two sinks or two jobs that replace the same are refused; default: nothing is."""
        return ()

    def keeps(self, job: str) -> Mapping[str, str]:
        """What a sink keeps up for this job beside other sinks and jobs, such as rows of a table:
        an address, or a path as the project file has it -> in which way. Two that keep one place
        in different ways are refused; default: nothing is shared."""
        return {}


class DatasetOptions(Options):
    """What every connector accepts under `datasets: NAME:`."""

    columns: dict[str, str] = Field(
        default_factory=dict,
        description="canonical column: a source field, or a DuckDB SQL expression over them",
    )
    covers_from: date | None = Field(
        default=None,
        description="first day from which the source is complete, even when it holds no row",
    )


class SourceOptions(Options):
    """What every connector accepts beside its own keys."""

    timezone: str | None = Field(
        default=None, description="zone of instants without one; default: the reporting zone"
    )
    overlap: timedelta = Field(
        default=timedelta(minutes=10), description="how far an incremental read reaches back"
    )
    hold_back: timedelta = Field(
        default=timedelta(minutes=5), description="how much of the present is left to the next read"
    )
    datasets: dict[str, DatasetOptions] = Field(default_factory=dict)

    def local_data(self, datasets: Iterable[str]) -> Iterable[str]:
        """Files of this machine that are read as data, as the project file would name them; may
        hold `*`, `?` and `**`. A sink that would write one is refused. datasets: the names of all
        that there are; default: none is read."""
        return ()
