"""Write the results of a job and its report into a folder or an object store."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from pydantic import Field, field_validator, model_validator

from crmetrics.plugin import (
    CheckResult,
    Delivery,
    Options,
    Receipt,
    Secret,
    Sink,
    SinkError,
    Slot,
    UnknownOutcomeError,
    did_you_mean,
    redact,
)
from crmetrics_files.keeping import keep_last
from crmetrics_files.stores import (
    EXTRAS,
    Bucket,
    Folder,
    Store,
    StoreError,
    is_remote,
)
from crmetrics_files.tables import BINARY, Form, Format, text, writer

FORMATS: tuple[Format, ...] = get_args(Format)

_EXTENSIONS: Mapping[Format, str] = {"markdown": "md"}
_OF_PERIOD = frozenset({"period", "start", "end"})
_KEEP_NEEDS = (
    "`keep` needs the rights to list (s3:ListBucket), read and remove files there: add what lacks, "
    "or take `keep` out."
)
_NAME_FIELDS = ("job", "period", "grain", "start", "end", "project")


class FilesOptions(Options):
    """Where and how results are written."""

    path: str = Field(
        min_length=1,
        description="folder, relative to the project file, made when missing; or an object store: "
        "s3://BUCKET/PREFIX, gs://, abfs:// (extras s3, gcs, azure)",
    )
    formats: tuple[Format, ...] = Field(default=("csv",), min_length=1, description="one file each")
    form: Form = Field(
        default="long",
        description="long: a row per KPI, period and group, all that is known of it. wide: a row "
        "per period and group with a column per KPI",
    )
    keep: int | None = Field(
        default=None,
        gt=0,
        description="keep the files of so many periods of each job; default: all",
    )
    checksums: bool = Field(
        default=False, description="a file NAME.sha256 beside them, for sha256sum --check"
    )
    timeout: float = Field(
        default=600.0,
        gt=0,
        description="in an object store: seconds that an attempt may take before it is given up",
    )
    storage: dict[str, Secret | bool | int] = Field(
        default_factory=dict,
        description="of an object store: key, secret, endpoint_url, ... as its fsspec file system "
        "takes them; default: the machine's own credentials",
    )
    name: str = Field(
        default="{job}_{period}",
        description="file name without extension; may hold {job} {period} {grain} {start} {end} "
        "{project} and / for folders. A repeat for the same period replaces the file",
    )

    def required_extras(self) -> Iterable[str]:
        if "xlsx" in self.formats:
            yield "xlsx"
        if is_remote(self.path):
            scheme = self.path.partition("://")[0]
            yield EXTRAS.get(scheme, scheme)

    def stem(self, slot: Slot) -> str:
        """The name of a delivery's files without extension."""
        values = {
            "job": slot.job,
            "period": slot.period,
            "grain": slot.grain,
            "start": slot.start.isoformat(),
            "end": slot.end.isoformat(),
            "project": slot.project,
        }
        return self.name.format_map({name: _safe(value) for name, value in values.items()})

    def names(self, slot: Slot) -> dict[Format, str]:
        """The name of each file, by its format."""
        stem = self.stem(slot)
        return {kind: f"{stem}.{_EXTENSIONS.get(kind, kind)}" for kind in self.formats}

    def sums(self, slot: Slot) -> str:
        """The name of the file of their checksums; empty without one."""
        return f"{self.stem(slot)}.sha256" if self.checksums else ""

    def overwrites(self, slot: Slot) -> Iterable[str]:
        folder = self.path.rstrip("/")
        yield from (f"{folder}/{name}" for name in self.names(slot).values())
        if self.checksums:
            yield f"{folder}/{self.sums(slot)}"

    def local_paths(self) -> Iterable[str]:
        return () if is_remote(self.path) else (self.path,)

    @field_validator("path", mode="before")
    @classmethod
    def _as_text(cls, path: Any) -> Any:
        return path.as_posix() if isinstance(path, Path) else path

    @field_validator("formats")
    @classmethod
    def _no_format_twice(cls, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        return tuple(dict.fromkeys(formats))

    @field_validator("name")
    @classmethod
    def _known_fields(cls, name: str) -> str:
        try:
            parsed = [part[1:] for part in string.Formatter().parse(name)]
        except ValueError as exc:
            raise ValueError(f"expected a name like {{job}}_{{period}}: {exc}") from None
        for field, form, conversion in parsed:
            if field is None:
                continue
            if field not in _NAME_FIELDS:
                hint = did_you_mean(field, _NAME_FIELDS) or f"Known: {', '.join(_NAME_FIELDS)}."
                raise ValueError(f"there is no {{{field}}} for a file name. {hint}")
            if form or conversion:
                # Cut to a part, two periods could have one name.
                written = f"{{{field}{'!' + conversion if conversion else ''}"
                written += f":{form}}}" if form else "}"
                raise ValueError(f"{written} cannot be formatted in a file name. Write {{{field}}}")
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or name.endswith("/") or ".." in parts:
            raise ValueError("expected a file name below the folder, without `..`")
        return name

    @model_validator(mode="after")
    def _storage_of_a_store(self) -> FilesOptions:
        if self.storage and not is_remote(self.path):
            raise ValueError("storage is for object stores; path is a folder")
        return self


class FilesSink(Sink):
    """One file per format and period; each is replaced at once or stays as it was.

    Texts in CSV and XLSX that a spreadsheet would run as a formula are made inert: in CSV by an
    apostrophe, also within a text behind a `;`, tab or line end (`a; -5` is `a; '-5`).
    """

    name = "files"
    Config = FilesOptions
    is_idempotent = True
    config: FilesOptions

    def destination(self, delivery: Delivery) -> str:
        names = list(self._names(delivery).values())
        shown = self._store.shown(names[0])
        if len(names) == 1:
            return shown
        extensions = [PurePosixPath(name).suffix for name in names]
        listed = ",".join(extension.removeprefix(".") for extension in extensions)
        return f"{shown.removesuffix(extensions[0])}.{{{listed}}}"

    def holds_one_period(self, delivery: Delivery) -> bool:
        fields = {field for _, field, _, _ in string.Formatter().parse(self.config.name)}
        return not fields & _OF_PERIOD

    def check(self) -> Iterable[CheckResult]:
        subject = f"sink {self.context.name}"
        self._store.begin()
        reason = self._store.why_not()
        if reason:
            fix = "Choose another `path`, or give this user the right to write there."
            return [CheckResult(subject, "error", redact(reason), fix)]
        if self._store.may_be_listed:
            return [CheckResult(subject, "ok", f"{self._place} can be written")]
        if self.config.keep is not None:
            return [CheckResult(subject, "error", f"{self._place} may not be listed", _KEEP_NEEDS)]
        message = f"{self._place} may not be listed; whether it can be written shows only a report"
        return [CheckResult(subject, "warning", message, "Nothing to do while reports arrive.")]

    def preview(self, delivery: Delivery) -> str:
        parts = []
        for kind, name in self._names(delivery).items():
            if kind in BINARY:
                shown = f"({BINARY[kind]}, {delivery.results.num_rows} rows)\n"
            else:
                shown = text(kind, delivery, self.config.form)
            parts.append(f"--- {self._store.shown(name)}\n{shown}")
        return "\n".join(parts)

    def write(self, delivery: Delivery) -> Receipt:
        names, sums = self._names(delivery), self.config.sums(self._slot(delivery))
        form = self.config.form
        self._store.begin()
        try:
            files = self._store.put(
                {name: writer(kind, delivery, form) for kind, name in names.items()}, sums
            )
        except StoreError as exc:
            told = f"sink {self.context.name}: {exc.name or self.destination(delivery)} could not "
            told += f"be written: {redact(str(exc))}."
            if exc.is_late:
                raise UnknownOutcomeError(
                    f"{told} Files of this report may be new already, each whole; run again."
                ) from exc
            if exc.is_begun:
                raise UnknownOutcomeError(
                    f"{told} Other files of this report are new already, each whole; make room or "
                    "fix the rights, then run again."
                ) from exc
            raise SinkError(
                f"{told} The files that were there are whole; make room or fix the rights, then "
                "run again."
            ) from exc
        removed, missing = self._clear(
            delivery, [sums, *names.values()] if sums else [*names.values()]
        )
        details: dict[str, Any] = {"files": files}
        if removed:
            details["removed"] = removed
        return Receipt(
            destination=self.destination(delivery),
            rows=delivery.results.num_rows,
            reference=f"sha256:{files[0]['sha256']}",
            details=details,
            missing=missing,
        )

    def _clear(self, delivery: Delivery, names: list[str]) -> tuple[list[str], str]:
        """Take the files of old periods away, checksums before what they are of; those that are
        gone, and why the others are not."""
        if self.config.keep is None:
            return [], ""
        try:
            return keep_last(self._store, self.context.name, delivery, names, self.config.keep), ""
        except StoreError as exc:
            fix = "The next run goes on." if exc.is_late else _KEEP_NEEDS
            return [], (
                f"sink {self.context.name}: the report is there, but files of old periods could "
                f"not be removed: {exc.name}: {redact(str(exc))}. {fix}"
            )

    @cached_property
    def _store(self) -> Store:
        if is_remote(self.config.path):
            return Bucket(self.config.path, self.config.storage, self.config.timeout)
        return Folder(Path(self.config.path), self.context.project_dir)

    @property
    def _place(self) -> str:
        return self._store.shown("").rstrip("/")

    def _slot(self, delivery: Delivery) -> Slot:
        return Slot(
            delivery.job,
            delivery.grain,
            self.context.project,
            delivery.period_start,
            delivery.period_end,
            delivery.message.period_label,
        )

    def _names(self, delivery: Delivery) -> dict[Format, str]:
        return self.config.names(self._slot(delivery))


def _safe(value: str) -> str:
    """A value as part of a file name: no separator, no leading dot, nothing a shell would eat."""
    return re.sub(r"^\.|[^\w.-]", "_", value)
