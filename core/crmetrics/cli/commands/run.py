"""`crmetrics run`: jobs from loading to delivery."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from crmetrics import log, stopping
from crmetrics.cli.options import command, json_option
from crmetrics.cli.session import Session, pass_session
from crmetrics.cli.tape import tape, tape_options
from crmetrics.errors import CrmetricsError, ExitCode, UsageError, did_you_mean

if TYPE_CHECKING:
    from crmetrics.cli.run_report import JobRun

_MOST_URGENT_FIRST = (
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.QUALITY,
    ExitCode.SOURCE,
    ExitCode.SINK,
    ExitCode.BUSY,
    ExitCode.PARTIAL,
    ExitCode.GOALS,
)


@command("run")
@click.argument("jobs", metavar="[JOB]...", nargs=-1)
@click.option(
    "--date",
    "day",
    metavar="D",
    help="Report the last complete period that ended on or before this day (2026-01-31).  "
    "[default: the last that is over]",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Send nothing: print exactly what each sink would get.",
)
@click.option(
    "--resend",
    is_flag=True,
    help="Deliver as if nothing had been delivered before: a lost message is sent anew.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["goals"]),
    help="goals: exit with 6 when a goal is off track or a guardrail is broken.",
)
@click.option(
    "--pass-on",
    type=click.Choice(["partial"]),
    help="partial: exit with 0 instead of 4; for schedulers that would repeat what was delivered.",
)
@click.option(
    "--if-due",
    is_flag=True,
    help="Leave at once when the job's `schedule:` has not fired since it last delivered; for "
    "schedulers that start too often.",
)
@click.option(
    "--wait",
    "wait_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="How long to wait while another process runs the same job or, if longer than "
    "`lock_timeout`, holds the warehouse, before leaving with 8.  "
    "[default: warehouse.lock_timeout]",
)
@tape_options
@json_option
@pass_session
def run(
    session: Session,
    jobs: tuple[str, ...],
    day: str | None,
    dry_run: bool,
    resend: bool,
    fail_on: str | None,
    pass_on: str | None,
    if_due: bool,
    wait_s: float | None,
    record: Path | None,
    replay: Path | None,
    as_json: bool,
) -> None:
    """Run each JOB, or all jobs of the project: load, compute, judge, deliver, record.

    Without --date a job reports the last complete period, and before it those that it missed
    (`catch_up`). A repeat of the same period delivers nothing twice; figures that have changed
    since replace or correct what was delivered. A job that fails does not stop the next.

    \b
    Exit code, the first that holds for any job:
      1 internal error    2 configuration     7 quality gate    3 a source failed
      5 a sink failed     8 already running   4 partial data
      6 goals (with --fail-on goals)

    143 after SIGTERM, 130 after Ctrl-C; what is being sent has 5 s more.
    """
    from crmetrics.cli.run_report import note_end, print_run, summary

    stopping.install()
    done = []
    if if_due and day is not None:
        raise UsageError("--if-due asks the schedule, --date names a day; use one of them.")
    if replay is not None and not dry_run:
        raise UsageError("--replay needs --dry-run: what a recording gives is not delivered.")
    chosen = _chosen(session, jobs)
    with tape(record, replay):
        for name in _due(session, chosen, wait_s, are_named=bool(jobs)) if if_due else chosen:
            for job_run in _run_job(session, name, _Wanted(day, dry_run, resend, wait_s)):
                done.append(job_run)
                with log.of_run(job_run.run_id):
                    if not as_json:
                        print_run(job_run, session)
                    note_end(job_run, session.console)
    code = exit_code(done, fails_on_goals=fail_on == "goals", passes_partial=pass_on == "partial")
    if as_json:
        document = summary(done, code, dry_run=dry_run)
        session.console.print_data(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    click.get_current_context().exit(code)


def _chosen(session: Session, jobs: tuple[str, ...]) -> list[str]:
    known = session.project.config.jobs
    for name in jobs:
        if name not in known:
            hint = did_you_mean(name, known) or f"Jobs: {', '.join(known) or 'none'}."
            raise UsageError(f"there is no job {name!r} in crmetrics.yaml. {hint}")
    if not known:
        raise UsageError("crmetrics.yaml has no jobs. Add one under `jobs:`.")
    return list(dict.fromkeys(jobs or known))


def _due(session: Session, names: list[str], wait_s: float | None, *, are_named: bool) -> list[str]:
    """The jobs whose schedule has fired; asked of all before any runs. Of jobs that nobody named,
    those without a schedule are nobody's concern."""
    if not are_named:
        names = [name for name in names if session.project.config.jobs[name].schedule]
    with session.project.patient(wait_s):
        return [name for name in names if _is_due(session, name)]


def _is_due(session: Session, name: str) -> bool:
    following = session.project.next_due(name)
    if following is not None:
        local = following.astimezone(session.project.calendar.zone)
        session.console.note(f"{name} is not due before {local:%Y-%m-%d %H:%M %Z}.")
    return following is None


class _Wanted(Struct, frozen=True):
    """The options of a call that every job is run with."""

    day: str | None
    dry_run: bool
    resend: bool
    wait_s: float | None


def _run_job(session: Session, name: str, wanted: _Wanted) -> list[JobRun]:
    """The reports of one job, the oldest period first; the last is its error, if it has one."""
    from crmetrics.cli.failures import report
    from crmetrics.cli.progress import reading_progress
    from crmetrics.cli.run_report import JobRun

    project, done = session.project, list[JobRun]()
    try:
        with reading_progress(session.console) as progress:
            if wanted.day is None and not wanted.resend:
                for found in project.run_due(
                    name, dry_run=wanted.dry_run, wait_s=wanted.wait_s, progress=progress
                ):
                    done.append(JobRun(name, found))
            else:
                found = project.run(
                    name,
                    date=wanted.day,
                    dry_run=wanted.dry_run,
                    resend=wanted.resend,
                    wait_s=wanted.wait_s,
                    progress=progress,
                )
                done.append(JobRun(name, found))
    except Exception as error:  # noqa: BLE001  one job's bug must not keep the others from running
        report(error, session.console)
        known = error if isinstance(error, CrmetricsError) else None
        known = known or CrmetricsError(f"{type(error).__name__}: {error}")
        done.append(JobRun(name, error=known, failed_run_id=log.run_of(error)))
    return done


def exit_code(
    runs: Iterable[JobRun], *, fails_on_goals: bool = False, passes_partial: bool = False
) -> int:
    """The most urgent code of all jobs; 6 only when asked for, 4 unless it passes."""
    codes = set()
    for job_run in runs:
        codes.add(job_run.exit_code)
        if fails_on_goals and job_run.has_missed_goal:
            codes.add(ExitCode.GOALS)
    if passes_partial:
        codes.discard(ExitCode.PARTIAL)
    return next((code for code in _MOST_URGENT_FIRST if code in codes), ExitCode.OK)
