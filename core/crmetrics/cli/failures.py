"""What a failed command says and with which code it exits."""

from __future__ import annotations

import click

from crmetrics import log
from crmetrics.cli.console import Console
from crmetrics.errors import CrmetricsError, ExitCode, Finding
from crmetrics.stopping import Terminated


def report(error: BaseException, console: Console) -> int:
    """Say on standard error what went wrong; returns the exit code."""
    with log.of_run(log.run_of(error)):
        return _report(error, console)


def _report(error: BaseException, console: Console) -> int:
    if isinstance(error, CrmetricsError):
        _report_deliberate(error, console)
        code = error.exit_code
    elif isinstance(error, click.ClickException):
        _report_usage(error, console)
        code = error.exit_code
    elif isinstance(error, Terminated) or isinstance(error.__cause__, Terminated):
        console.error("Terminated.")
        code = ExitCode.TERMINATED
    elif isinstance(error, (click.Abort, KeyboardInterrupt, EOFError)):
        console.error("Interrupted.")
        code = ExitCode.INTERRUPTED
    else:
        _report_unexpected(error, console)
        code = ExitCode.INTERNAL
    if console.verbosity and not isinstance(error, click.ClickException):
        _show_traceback(error, console)
    return code


def _report_deliberate(error: CrmetricsError, console: Console) -> None:
    findings = "\n".join(str(finding) for finding in error.findings)
    message = str(error)
    if message and message != findings:
        console.error(f"Error: {message}", kind=type(error).__name__)
    report_findings(error.findings, console)


def report_findings(findings: tuple[Finding, ...], console: Console) -> None:
    """One line of standard error per finding: `file:line:column: message hint`."""
    for finding in findings:
        line = " ".join(part.strip() for part in str(finding).splitlines() if part.strip())
        console.error(
            line,
            file=finding.file,
            line=finding.line or None,
            column=finding.column or None,
            hint=finding.hint,
        )


def _report_usage(error: click.ClickException, console: Console) -> None:
    context = getattr(error, "ctx", None)
    if context is not None and console.log_format == "text":
        console.error(context.get_usage())
        console.error(f"Try `{context.command_path} --help`.\n")
    console.error(f"Error: {error.format_message()}")


def _report_unexpected(error: BaseException, console: Console) -> None:
    text = " ".join(str(error).split())
    advice = "" if console.verbosity else " Run with -v for the traceback."
    told = f"{type(error).__name__}: {text}" if text else type(error).__name__
    console.error(
        f"Internal error: {told}.{advice}"
        if told[-1] not in ".!?"
        else f"Internal error: {told}{advice}"
    )


def _show_traceback(error: BaseException, console: Console) -> None:
    import traceback

    console.log("debug", "".join(traceback.format_exception(error)).rstrip())
