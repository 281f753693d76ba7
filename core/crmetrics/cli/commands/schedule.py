"""`crmetrics schedule`: the foreground scheduler, its health, and files for other schedulers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from crmetrics import stopping
from crmetrics.cli.options import ProjectCommand, group
from crmetrics.cli.session import Session, pass_session
from crmetrics.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from crmetrics.config import JobConfig, ProjectConfig
    from crmetrics.schedule import ScheduledJob
    from crmetrics.schedule.export import ExportedJob

_FORMATS = ("cron", "systemd", "github", "airflow", "kubernetes")

health_option = click.option(
    "--health",
    "health_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the scheduler notes that it lives, and what ran.  "
    "[default: schedule.json beside the warehouse]",
)


@group("schedule")
@health_option
@pass_session
@click.pass_context
def schedule(context: click.Context, session: Session, health_file: Path | None) -> None:
    """Start each job when its `schedule:` says, until stopped; one after the other.

    A start that was missed while no scheduler ran is made up for once. A run that fails is
    repeated (`retries`, `retry_after`). Changes of crmetrics.yaml count from the next start on.
    SIGTERM and Ctrl-C end the scheduler when the running job has sent what it was sending.
    """
    if context.invoked_subcommand is None:
        _run(session, health_file)


def _run(session: Session, health_file: Path | None) -> None:
    from crmetrics.cli.launching import ChildRuns
    from crmetrics.engine.due import lock_directory
    from crmetrics.engine.locks import alone
    from crmetrics.schedule import HealthFile, Scheduler, read_state

    table = _Table(session)
    if not table.jobs():
        raise UsageError('no job has a `schedule:`. Add one: schedule: "0 8 * * MON"')
    path = health_file or _health_file(session)
    scheduler = Scheduler(
        table.jobs,
        table.zone,
        ChildRuns(session),
        HealthFile(path),
        before=read_state(path),
        now=lambda: datetime.now(UTC),
        wait=stopping.pause,
        pid=os.getpid(),
        tell=session.console.note,
    )
    with alone(
        lock_directory(session.project), "schedule", "the scheduler of this project",
        wait_s=0, advice="It starts every job that has a schedule.",
    ):  # fmt: skip
        stopping.listen()
        scheduler.run(stopping.is_asked)


class _Table:
    """The scheduled jobs as the project file has them now; a broken one counts when mended."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stamp: tuple[int, int] | None = None
        self._config = session.project.config
        self._stamp = self._stamp_now()
        self._jobs = _scheduled(self._config)

    def jobs(self) -> Sequence[ScheduledJob]:
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp = stamp
            self._read()
        return self._jobs

    def zone(self) -> ZoneInfo:
        return self._config.reporting.calendar.zone

    def _read(self) -> None:
        from crmetrics.cli.failures import report

        try:
            self._config = self._session.open(self._session.directory).config
        except ConfigError as error:
            report(error, self._session.console)
            self._session.console.warn("The schedule stays as it was until that is mended.")
            return
        self._jobs = _scheduled(self._config)

    def _stamp_now(self) -> tuple[int, int] | None:
        try:
            found = self._config.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


def _scheduled(config: ProjectConfig) -> list[ScheduledJob]:
    return [_scheduled_job(job) for job in config.jobs.values() if job.schedule]


def _scheduled_job(job: JobConfig) -> ScheduledJob:
    from crmetrics.config.cron import parse_cron
    from crmetrics.schedule import ScheduledJob

    assert job.schedule is not None
    return ScheduledJob(
        job.name,
        parse_cron(job.schedule),
        jitter=job.jitter,
        misfire_grace=job.misfire_grace,
        retries=job.retries,
        retry_after=job.retry_after,
        time_limit=job.time_limit,
    )


def _health_file(session: Session) -> Path:
    return session.project.engine_settings.path.parent / "schedule.json"


# --- health ----------------------------------------------------------------------------------


@schedule.command(
    "health",
    cls=ProjectCommand,
    short_help="Say whether the scheduler lives; exit with 1 when not.",
)
@health_option
@click.option(
    "--max-age",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="How long ago the scheduler may have been seen last.",
)
@pass_session
def health(session: Session, health_file: Path | None, max_age: float) -> None:
    """Say whether the scheduler lives and its jobs succeed; exit with 1 when not.

    For probes of containers and for monitoring.
    """
    from crmetrics.schedule import problems, read_state

    state = read_state(health_file or _health_file(session))
    found = problems(state, datetime.now(UTC), timedelta(seconds=max_age))
    if found is None:
        session.console.print("ok")
        return
    for name, text in found.items():
        session.console.print(f"job {name} {text}" if name else text)
    click.get_current_context().exit(1)


# --- export ----------------------------------------------------------------------------------


@schedule.command(
    "export", cls=ProjectCommand, short_help="Write files for cron, systemd, GitHub, Airflow, ..."
)
@click.argument("form", metavar="FORMAT", type=click.Choice(_FORMATS))
@click.argument("jobs", metavar="[JOB]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files below DIR instead of standard output.",
)
@click.option("--image", metavar="IMAGE", default="", help="Container image, for kubernetes.")
@pass_session
def export_schedule(
    session: Session, form: str, jobs: tuple[str, ...], output: Path | None, image: str
) -> None:
    """Write files that let another scheduler start each JOB, or all jobs with a schedule.

    FORMAT is cron, systemd, github, airflow or kubernetes. The files hold no secret: where
    variables are needed, they say where to put them.
    """
    from crmetrics.cli.placing import place
    from crmetrics.schedule.export import export

    exported = _exported(session.project.config, jobs)
    files = export(form, exported, place(session, [job.name for job in exported], image))
    for name, text in files.items():
        if output is None:
            title = f"# --- {name}\n" if len(files) > 1 else ""
            session.console.print_data(f"{title}{text}")
            continue
        from crmetrics.cli.output import write_text

        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(text, path, session.console)


def _exported(config: ProjectConfig, names: tuple[str, ...]) -> list[ExportedJob]:
    from crmetrics.schedule.export import ExportedJob

    for name in names:
        if name not in config.jobs:
            raise UsageError(
                f"there is no job {name!r} in crmetrics.yaml. {did_you_mean(name, config.jobs)}"
            )
        if config.jobs[name].schedule is None:
            raise UsageError(f"job {name!r} has no `schedule:`.")
    chosen = [config.jobs[name] for name in names or config.jobs]
    found: list[Any] = [
        ExportedJob(_scheduled_job(job), job.schedule, job.description)
        for job in chosen
        if job.schedule
    ]
    if not found:
        raise UsageError('no job has a `schedule:`. Add one: schedule: "0 8 * * MON"')
    return found
