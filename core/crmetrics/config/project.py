"""The project file after it was read: frozen values for the rest of the program."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from crmetrics.config.tree import Place, Section, place_of
from crmetrics.errors import Finding

if TYPE_CHECKING:
    from crmetrics.config.mentions import Mentions
    from crmetrics.config.sections import GoalConfig, ReportingConfig
    from crmetrics.options import Options, SourceOptions
    from crmetrics.periods import Grain


class WarehouseConfig(Struct, frozen=True):
    """Where the warehouse is and what it may use; paths are absolute.

    None = DuckDB's own default (memory_limit, threads) or no limit (statement_timeout_s).
    """

    path: Path
    spill_directory: Path
    memory_limit: str | None = None
    threads: int | None = None
    statement_timeout_s: float | None = None
    lock_timeout_s: float = 60.0


class SourceConfig(Struct, frozen=True):
    """One source. options: an instance of the connector's `Config`."""

    name: str
    connector: str
    options: SourceOptions


class SinkConfig(Struct, frozen=True):
    """One sink. options: an instance of the sink's `Config`."""

    name: str
    sink: str
    options: Options


class MetricsConfig(Struct, frozen=True):
    """What is computed.

    settings: flat settings by name, and under the id of a KPI a mapping of its own settings. Read
    one with `setting_value`. Values of known settings have their type; others are as written.
    """

    packs: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


class JobConfig(Struct, frozen=True):
    """One job. by: sets of dimensions, each a grouping of its own; empty = totals only, and the
    groups that a KPI is reported by unless is_by_given.

    catch_up: missed periods that a run without a day reports as well. For the scheduler: jitter, a
    random delay of a start; misfire_grace, how late a start may be; retries of a failed run;
    retry_after, the pause before the first; time_limit, how long a run may take.
    """

    name: str
    kpis: tuple[str, ...]
    grain: Grain = "month"
    schedule: str | None = None
    by: tuple[tuple[str, ...], ...] = ()
    totals: bool = True
    compare: tuple[str, ...] = ()
    where: str | None = None
    sinks: tuple[str, ...] = ()
    block_on: tuple[str, ...] = ()
    description: str = ""
    catch_up: int = 10
    jitter: timedelta = timedelta()
    misfire_grace: timedelta | None = None
    retries: int = 2
    retry_after: timedelta = timedelta(minutes=10)
    time_limit: timedelta | None = None
    is_by_given: bool = False


class ProjectConfig(Struct, frozen=True, dict=True):
    """The whole project file.

    directory: absolute; paths in the options of sources and sinks are relative to it.
    notes: what is allowed but worth a look; no errors.
    """

    directory: Path
    file: Path
    project: str
    reporting: ReportingConfig
    warehouse: WarehouseConfig
    plugins: tuple[str, ...]
    sources: Mapping[str, SourceConfig]
    metrics: MetricsConfig
    goals: tuple[GoalConfig, ...]
    sinks: Mapping[str, SinkConfig]
    jobs: Mapping[str, JobConfig]
    notes: tuple[Finding, ...] = ()
    # Holds every value of the file, secrets too, which no node shows; of configurations that are
    # equal in all else it tells apart those whose files differ.
    _tree: Section = field(default_factory=lambda: Section(Place("", 0, 0)))

    @cached_property
    def mentions(self) -> Mentions:
        """The names of packs, KPIs and dimensions in the file, with their paths."""
        from crmetrics.config.mentions import read_mentions

        return read_mentions(self._tree)

    def place(self, *path: str | int, at_key: bool = False) -> Place:
        """Where a value stands: `place("jobs", "weekly_sales", "kpis", 1)`.

        at_key: the key itself. A path that is not in the file (a default) gives the place of the
        last key on the way. `place(...).finding(message, hint)` makes the finding.
        """
        return place_of(self._tree, path, at_key=at_key)
