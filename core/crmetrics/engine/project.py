"""A project: its file, plugins and definitions, and what can be asked of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmetrics.catalog import Catalog
from crmetrics.compiler.memory import remembering
from crmetrics.compiler.slices import Clock
from crmetrics.config import ProjectConfig, ReadProject, peek, read_config
from crmetrics.engine.answer import Answerer, Question
from crmetrics.engine.asking import Asked, question_of
from crmetrics.engine.effective import Settings
from crmetrics.engine.goal_rows import GoalRows
from crmetrics.engine.identities import Checked, answered
from crmetrics.engine.naming import look_up
from crmetrics.engine.segments import with_segments
from crmetrics.errors import ConfigError
from crmetrics.loader import PluginRegistry, load_plugins
from crmetrics.periods import Calendar, Period
from crmetrics.plugin import CheckResult
from crmetrics.warehouse.compute import open_for_binding, open_for_compute
from crmetrics.warehouse.connection import EngineSettings
from crmetrics.warehouse.derived import ViewSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics.engine.explaining import Explanation
    from crmetrics.engine.loading import SyncReport
    from crmetrics.engine.planning import JobPlan
    from crmetrics.engine.running import RunReport
    from crmetrics.warehouse.compute import ComputeSession

By = Sequence[str] | Sequence[Sequence[str]]

log = logging.getLogger(__name__)


class Project:
    """One project folder. Opening it reads the project file and its plugins, nothing else.

    environ: variables for `${NAME}`; the process environment by default. now: the present; for
    tests and replays.
    """

    def __init__(
        self,
        directory: str | Path = ".",
        *,
        environ: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.directory = Path(directory).resolve()
        self.environ = environ
        self.now = now
        self._patience_s = 0.0

    # --- what the project is ---------------------------------------------------------------------

    @cached_property
    def registry(self) -> PluginRegistry:
        """The plugins; connectors and sinks of the product that the project file does not name wait
        until they are asked for."""
        peeked = peek(self.directory, environ=self.environ)
        return load_plugins(self.directory, peeked.modules, peeked.used)

    @cached_property
    def config(self) -> ProjectConfig:
        """The project file. Raises ConfigError with all that is wrong with the project: form and
        names, and the project's own definitions."""
        read = self._read_config()
        if read.findings:
            from crmetrics.engine.validating import all_findings

            # A message lists everything that could stand there, which has waited until now.
            self.registry.complete()
            read = self._read_config()
            found = all_findings(self, read.config, read.findings, is_readable=read.is_readable)
            raise ConfigError(findings=found)
        return read.config

    def _read_config(self) -> ReadProject:
        return read_config(
            self.directory,
            environ=self.environ,
            connectors=self.registry.connectors,
            sinks=self.registry.sinks,
            datasets=self.registry.datasets,
            unavailable=self._unavailable(),
        )

    def _unavailable(self) -> Mapping[str, str]:
        """Connectors and sinks of quarantined plugins, with the reason: a section that names one
        is judged when it is needed."""
        return {
            name.rpartition(" ")[2]: plugin.error
            for plugin in self.registry.tried
            if plugin.state == "quarantined"
            for name in (plugin.name, *plugin.offers)
        }

    @cached_property
    def calendar(self) -> Calendar:
        return self.config.reporting.calendar

    @cached_property
    def catalog(self) -> Catalog:
        """The definitions of the enabled packs and of the project's own `metrics/` folder.

        Raises ConfigError as `config` does, for names that do not exist in any part of the file.
        """
        named = look_up(self.registry, self.config)
        if named.findings:
            from crmetrics.engine.validating import all_findings

            raise ConfigError(findings=all_findings(self, self.config))
        return named.catalog

    def with_parts(self, config: ProjectConfig, catalog: Catalog) -> Project:
        """The same project with this configuration and these definitions in place of its own."""
        other = Project(self.directory, environ=self.environ, now=self.now)
        other.registry, other.config, other.catalog = self.registry, config, catalog
        return other

    @property
    def engine_settings(self) -> EngineSettings:
        warehouse = self.config.warehouse
        return EngineSettings(
            path=warehouse.path,
            timezone=self.config.reporting.timezone,
            memory_limit=warehouse.memory_limit,
            threads=warehouse.threads,
            spill_directory=warehouse.spill_directory,
            statement_timeout_s=warehouse.statement_timeout_s,
            lock_timeout_s=max(warehouse.lock_timeout_s, self._patience_s),
        )

    @contextmanager
    def patient(self, wait_s: float | None) -> Iterator[None]:
        """Wait at least so many seconds for a warehouse that another process holds, in the block;
        never less than its `lock_timeout`."""
        before = self._patience_s
        self._patience_s = wait_s or 0.0
        try:
            yield
        finally:
            self._patience_s = before

    @contextmanager
    def _telling_all(self) -> Iterator[None]:
        """A definition that turns out wrong when it is asked for is told with all else that is
        wrong."""
        _ = self.catalog
        try:
            yield
        except ConfigError as exc:
            from crmetrics.engine.validating import whole

            raise whole(self, exc) from exc

    # --- asking ----------------------------------------------------------------------------------

    def query(
        self,
        kpis: Sequence[str],
        *,
        period: str | None = None,
        start: date | str | None = None,
        end: date | str | None = None,
        grain: str | None = None,
        by: By = (),
        totals: bool = False,
        where: str | None = None,
        compare: Sequence[str] = (),
        as_of: datetime | str | None = None,
    ) -> pa.Table:
        """KPIs as a table in long form (`crmetrics.results.result_schema`).

        period: `2026-01`, `2026-Q1`, `last_month`, ...; or start (inclusive) and end (exclusive);
        without either the last complete period. by: dimensions of one grouping, or a list of
        groupings. where: SQL over the columns of the KPIs' rows. compare: `previous`, `year_ago`.
        as_of: an instant, or a date meaning its 00:00 in the reporting zone.

        Raises UsageError for a KPI, dimension or period that does not exist.
        """
        asked = Asked(
            tuple(kpis), period, start, end, grain, by, totals, where, tuple(compare), as_of
        )
        question = question_of(asked, self.clock(as_of), self.catalog)
        with self._telling_all():
            if self.engine_settings.path.exists():
                with self.answerer(question.periods, as_of) as answerer:
                    # One session where everything is loaded: opening the file again costs as much
                    # as a small answer.
                    if set(self.config.sources) <= set(answerer.session.inventory.sources):
                        return _told(answered(answerer, question))
            self.ensure_loaded()
            with self.answerer(question.periods, as_of) as answerer:
                return _told(answered(answerer, question))

    def explain(
        self,
        kpi: str,
        *,
        period: str | None = None,
        by: By = (),
        as_of: datetime | str | None = None,
        grain: str | None = None,
    ) -> Explanation:
        """What a number is made of: definition, inputs, SQL, and row counts at each step."""
        from crmetrics.engine.explaining import explain

        with self._telling_all():
            return explain(self, kpi, period=period, by=by, as_of=as_of, grain=grain)

    def rows(
        self,
        kpi: str,
        *,
        period: str | None = None,
        by: By = (),
        where: str | None = None,
        as_of: datetime | str | None = None,
    ) -> pa.Table:
        """The records behind a number: source, id, which side of the ratio they are on, and which
        were left out and why (see `engine.records.rows_behind`)."""
        from crmetrics.engine.records import rows_behind

        with self._telling_all():
            return rows_behind(self, kpi, period=period, by=by, where=where, as_of=as_of)

    def correlate(
        self, first: str, second: str, *, grain: str = "month", periods: int = 24, where: str = ""
    ) -> pa.Table:
        """Whether the second KPI goes with the first, now and up to three periods later (see
        `engine.correlating.correlate`)."""
        from crmetrics.engine.correlating import correlate

        with self._telling_all():
            return correlate(self, first, second, grain=grain, periods=periods, where=where)

    # --- doing -----------------------------------------------------------------------------------

    def check(self) -> list[CheckResult]:
        """Look at everything a run needs; all findings at once, nothing is changed."""
        from crmetrics.engine.checking import check

        return check(self)

    def plan(self, job: str | None = None) -> JobPlan:
        """What a job (or all enabled KPIs) would read, per source, and what is out of reach."""
        from crmetrics.engine.planning import plan_job

        with self._telling_all():
            return plan_job(self, job)

    def sync(
        self,
        sources: Sequence[str] = (),
        *,
        full: bool = False,
        progress: Callable[..., None] | None = None,
    ) -> SyncReport:
        """Load the sources (all by default) into the warehouse."""
        from crmetrics.engine.loading import sync

        # A wrong project file loads nothing, whatever is wrong with it.
        _ = self.catalog
        return sync(self, sources, full=full, progress=progress)

    def run(
        self,
        job: str,
        *,
        date: date | str | None = None,
        dry_run: bool = False,
        resend: bool = False,
        wait_s: float | None = None,
        progress: Callable[..., None] | None = None,
    ) -> RunReport:
        """Run a job for one period: load, compute, judge, deliver, record.

        date: the last period that ended on or before this day; by default the last one that is
        over. resend: deliver as if nothing had been delivered before. wait_s: seconds to wait for
        another process that runs the job, then JobBusyError, or that holds the warehouse, then
        WarehouseError; `lock_timeout` by default, for the warehouse never less.
        """
        from crmetrics.engine.due import run_alone

        return run_alone(
            self,
            job,
            day=date,
            dry_run=dry_run,
            resend=resend,
            wait_s=wait_s,
            progress=progress,
        )

    def run_due(
        self,
        job: str,
        *,
        dry_run: bool = False,
        wait_s: float | None = None,
        progress: Callable[..., None] | None = None,
    ) -> Iterator[RunReport]:
        """Run a job for every period that it owes, the oldest first: those that no run delivered
        since it was first scheduled (at most `catch_up`), then the last one that is over.

        dry_run: nothing is sent or recorded; the reports hold what would be.
        """
        from crmetrics.engine.due import run_due

        return run_due(self, job, dry_run=dry_run, wait_s=wait_s, progress=progress)

    def next_due(self, job: str) -> datetime | None:
        """When the job's schedule fires next; None = it is due now."""
        from crmetrics.engine.due import next_due

        return next_due(self, job)

    # --- sessions --------------------------------------------------------------------------------

    def clock(self, as_of: datetime | str | None = None) -> Clock:
        if as_of is None:
            return Clock(self.calendar, self.now())
        if isinstance(as_of, datetime):
            as_of = as_of.isoformat()
        return Clock(self.calendar, self.calendar.parse_instant(str(as_of)), is_past=True)

    def ensure_loaded(self) -> None:
        """Load file sources that were never loaded, so that a first question has an answer."""
        from crmetrics.engine.loading import load_missing

        load_missing(self)

    def view(self, clock: Clock, periods: Sequence[Period]) -> ViewSettings:
        configured = self.config.metrics.settings
        settings = Settings(configured, {})
        horizon = max((p.end for p in periods), default=clock.as_of_day)
        return ViewSettings(
            calendar=self.calendar,
            currency=self.config.reporting.currency,
            as_of=clock.as_of,
            is_past=clock.is_past,
            horizon=horizon,
            settings=settings.of(""),
            own_hours=settings.own_hours,
        )

    @contextmanager
    def answerer(
        self,
        periods: Sequence[Period],
        as_of: datetime | str | None = None,
        *,
        is_binding: bool = False,
    ) -> Iterator[Answerer]:
        """A session that answers questions about these periods.

        is_binding: over empty tables, to check definitions without any data.
        """
        clock = self.clock(as_of)
        view = self.view(clock, periods)
        datasets = with_segments(self.registry.datasets, self.catalog.segments.values())
        opened: ComputeSession = (
            open_for_binding(datasets, view)
            if is_binding
            else open_for_compute(self.engine_settings, datasets, view)
        )
        # What a check finds out of every definition is more than a question should have to read.
        remembered = nullcontext() if is_binding else remembering(self.directory)
        with opened as session, remembered:
            run: Mapping[str, Any] = {
                "as_of": clock.as_of,
                "as_of_day": clock.as_of_day,
                "is_past": clock.is_past,
                "reporting_currency": self.config.reporting.currency,
                "timezone": self.config.reporting.timezone,
                "customer_model": session.customer_model,
            }
            settings = Settings(self.config.metrics.settings, run)
            yield Answerer(
                self.catalog,
                session,
                datasets,
                settings,
                clock,
                self.config.reporting.currency,
                given={"goals": GoalRows(self.config.goals)},
            )

    def question(self, asked: Asked) -> Question:
        return question_of(asked, self.clock(asked.as_of), self.catalog)


def _told(checked: Checked) -> pa.Table:
    """The rows of an answer; what is broken is logged, beside the flags of the rows."""
    for breach in checked.breaches:
        log.warning("%s", breach.text)
    return checked.results
