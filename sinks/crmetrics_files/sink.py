"""Write the results of a job and its report into a folder."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TextIO, get_args

from pydantic import Field, field_validator

from crmetrics.plugin import (
    CheckResult,
    Delivery,
    Options,
    Receipt,
    Sink,
    SinkError,
    did_you_mean,
    export,
)
from crmetrics_files.html import html_report
from crmetrics_files.markdown import markdown_report
from crmetrics_files.replacing import replace_files, sha256_of, target_of

Format = Literal["csv", "json", "ndjson", "parquet", "markdown", "html"]
FORMATS: tuple[Format, ...] = get_args(Format)

_EXTENSIONS: Mapping[Format, str] = {"markdown": "md"}
_NAME_FIELDS = ("job", "period", "grain", "start", "end", "project")
_TABLES: Mapping[Format, Callable[[Any, TextIO], None]] = {
    "csv": export.write_csv,
    "json": export.write_json,
    "ndjson": export.write_ndjson,
}


class FilesOptions(Options):
    """Where and how results are written."""

    path: Path = Field(description="folder; relative to the project file, made when missing")
    formats: tuple[Format, ...] = Field(default=("csv",), min_length=1, description="one file each")
    name: str = Field(
        default="{job}_{period}",
        description="file name without extension; may hold {job} {period} {grain} {start} {end} "
        "{project} and / for folders. A repeat for the same period replaces the file",
    )

    @field_validator("formats")
    @classmethod
    def _no_format_twice(cls, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        return tuple(dict.fromkeys(formats))

    @field_validator("name")
    @classmethod
    def _known_fields(cls, name: str) -> str:
        try:
            fields = [
                field for _, field, _, _ in string.Formatter().parse(name) if field is not None
            ]
        except ValueError as exc:
            raise ValueError(f"expected a name like {{job}}_{{period}}: {exc}") from None
        for field in fields:
            if field not in _NAME_FIELDS:
                hint = did_you_mean(field, _NAME_FIELDS) or f"Known: {', '.join(_NAME_FIELDS)}."
                raise ValueError(f"there is no {{{field}}} for a file name. {hint}")
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or name.endswith("/") or ".." in parts:
            raise ValueError("expected a file name below the folder, without `..`")
        return name


class FilesSink(Sink):
    """One file per format and period; each is replaced at once or stays as it was."""

    name = "files"
    Config = FilesOptions
    is_idempotent = True
    config: FilesOptions

    def destination(self, delivery: Delivery) -> str:
        targets = list(self._targets(delivery).values())
        shown = self._shown(targets[0])
        if len(targets) == 1:
            return shown
        extensions = ",".join(target.suffix.removeprefix(".") for target in targets)
        return f"{shown.removesuffix(targets[0].suffix)}.{{{extensions}}}"

    def check(self) -> Iterable[CheckResult]:
        folder = self.context.project_dir / self.config.path
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        subject = f"sink {self.context.name}"
        if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
            return [CheckResult(subject, "ok", f"{self._shown(folder)} can be written")]
        what = "cannot be written to" if existing.is_dir() else "is not a folder"
        return [
            CheckResult(
                subject,
                "error",
                f"{self._shown(existing)} {what}",
                "Choose another `path`, or give this user the right to write there.",
            )
        ]

    def preview(self, delivery: Delivery) -> str:
        parts = []
        for kind, target in self._targets(delivery).items():
            if kind == "parquet":
                text = f"(Parquet, {delivery.results.num_rows} rows)\n"
            else:
                text = _text(kind, delivery)
            parts.append(f"--- {self._shown(target)}\n{text}")
        return "\n".join(parts)

    def write(self, delivery: Delivery) -> Receipt:
        targets = self._targets(delivery)
        writers = {target: _writer(kind, delivery) for kind, target in targets.items()}
        try:
            replace_files(writers)
            files = [
                {
                    "path": self._shown(target),
                    "bytes": target.stat().st_size,
                    "sha256": sha256_of(target),
                }
                for target in targets.values()
            ]
        except OSError as exc:
            place = self.destination(delivery)
            if exc.filename:
                place = self._shown(target_of(Path(exc.filename)))
            raise SinkError(
                f"sink {self.context.name}: {place} could not be written: {exc.strerror or exc}. "
                "The files that were there are whole; make room or fix the rights, then run again."
            ) from exc
        return Receipt(
            destination=self.destination(delivery),
            rows=delivery.results.num_rows,
            reference=f"sha256:{files[0]['sha256']}",
            details={"files": files},
        )

    def _targets(self, delivery: Delivery) -> dict[Format, Path]:
        values = {
            "job": delivery.job,
            "period": delivery.message.period_label,
            "grain": delivery.grain,
            "start": delivery.period_start.isoformat(),
            "end": delivery.period_end.isoformat(),
            "project": self.context.project,
        }
        safe = {name: _safe(value) for name, value in values.items()}
        stem = self.config.name.format_map(safe)
        folder = self.context.project_dir / self.config.path
        return {
            kind: folder / f"{stem}.{_EXTENSIONS.get(kind, kind)}" for kind in self.config.formats
        }

    def _shown(self, path: Path) -> str:
        """Relative to the project when it lies inside, else as it is."""
        if path.is_relative_to(self.context.project_dir):
            return path.relative_to(self.context.project_dir).as_posix()
        return path.as_posix()


def _safe(value: str) -> str:
    """A value as part of a file name: no separator, no leading dot, nothing a shell would eat."""
    return re.sub(r"^\.|[^\w.-]", "_", value)


def _text(kind: Format, delivery: Delivery) -> str:
    if kind == "markdown":
        return markdown_report(delivery.message)
    if kind == "html":
        return html_report(delivery.message)
    return {"csv": export.to_csv, "json": export.to_json, "ndjson": export.to_ndjson}[kind](
        delivery.results
    )


def _writer(kind: Format, delivery: Delivery) -> Callable[[Path], None]:
    """What writes one file; tables are streamed, reports are small."""

    def write(path: Path) -> None:
        if kind == "parquet":
            export.write_parquet(delivery.results, path)
            return
        with path.open("w", encoding="utf-8", newline="") as out:
            if kind in _TABLES:
                _TABLES[kind](delivery.results, out)
            else:
                out.write(_text(kind, delivery))

    return write
