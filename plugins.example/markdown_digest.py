"""Reports as sections of one Markdown file, for a wiki or a repository.

Copy this file into the folder `plugins/` of a project and add to crmetrics.yaml:

    sinks:
      digest: {sink: markdown_digest, path: reports/digest.md}

and `digest` to the `sinks:` of a job. A report that is delivered again replaces its own section.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from crmetrics.plugin import (
    CheckResult,
    Delivery,
    KpiLine,
    Options,
    Receipt,
    Sink,
    SinkError,
    hookimpl,
)


class MarkdownDigestOptions(Options):
    """What stands under `sinks: NAME:`."""

    path: str = "reports/digest.md"


class MarkdownDigest(Sink):
    """Reports as sections of one Markdown file."""

    name = "markdown_digest"
    Config = MarkdownDigestOptions
    is_idempotent = True

    @property
    def _file(self) -> Path:
        path: str = self.config.path
        return self.context.project_dir / path

    def destination(self, delivery: Delivery) -> str:
        return str(self.config.path)

    def check(self) -> Iterator[CheckResult]:
        folder = next(parent for parent in self._file.parents if parent.exists())
        if folder.is_dir() and os.access(folder, os.W_OK):
            yield CheckResult("file", "ok", self.config.path)
        else:
            fix = "Correct `path` of the sink, or the rights of the folder."
            yield CheckResult("file", "error", f"{folder} cannot be written to", fix=fix)

    def preview(self, delivery: Delivery) -> str:
        return _section(delivery)

    def write(self, delivery: Delivery) -> Receipt:
        begin, end = _marks(delivery)
        section = f"{begin}\n{_section(delivery)}{end}\n"
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            text = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
            former = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end) + r"\n", re.DOTALL)
            # A function as the replacement: backslashes of the text are not to be interpreted.
            text, replaced = former.subn(lambda _: section, text, count=1)
            _replace_file(self._file, text if replaced else f"{text}\n{section}".lstrip())
        except (OSError, UnicodeDecodeError) as exc:
            raise SinkError(f"markdown_digest: {self._file} cannot be written: {exc}") from exc
        return Receipt(self.destination(delivery), rows=len(delivery.message.kpis), reference=begin)


def _marks(delivery: Delivery) -> tuple[str, str]:
    """Comments around the section of this (job, period, sink, destination)."""
    mark = hashlib.sha256(delivery.key.encode()).hexdigest()[:16]
    return f"<!-- report {mark} -->", f"<!-- end of report {mark} -->"


def _replace_file(file: Path, text: str) -> None:
    # Whole or not at all: a reader, or a crash, must never meet half a file.
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text, encoding="utf-8", newline="\n")
    fresh.replace(file)


def _section(delivery: Delivery) -> str:
    message = delivery.message
    lines = [f"## {_plain(message.title)}", "", _plain(message.headline), ""]
    lines += [_row("KPI", "Value", "Change", "Goal"), "|---|---|---|---|"]
    for kpi in message.kpis:
        lines += _rows(kpi)
    lines += ["", *(f"> {_plain(note)}" for note in message.notes)]
    lines += ["", *(f"- {_plain(line)}" for line in message.footer), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _rows(kpi: KpiLine) -> Iterator[str]:
    """The KPI, and below it the groups that it was asked for."""
    value = f"{kpi.value_text}, {kpi.status_text}" if kpi.status_text else kpi.value_text
    yield _row(kpi.title, value, kpi.change_text, kpi.goal_text)
    for breakdown in kpi.breakdowns:
        for group in breakdown.segments:
            yield _row(f"- {group.label}", group.value_text, group.change_text, group.goal_text)
        if breakdown.note:
            yield _row(f"- {breakdown.note}", "", "", "")


def _row(*cells: str) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text of a message as one line of Markdown that means nothing but itself."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(text.split()))


@hookimpl
def crmetrics_sinks() -> list[type[Sink]]:
    return [MarkdownDigest]
