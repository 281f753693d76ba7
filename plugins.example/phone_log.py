"""Calls of a phone system, from the JSON lines files that it exports: dataset `activities`.

Copy this file into the folder `plugins/` of a project and add to crmetrics.yaml:

    sources:
      phones:
        connector: phone_log
        path: data/phones            # a folder of *.jsonl files, or one such file

A line of an export looks like this; all but `call_id` and `started` may be missing:

    {"call_id": "c1", "dir": "in", "agent": "u7", "customer": "a12", "ticket": "t9",
     "started": "2026-01-05T09:12:31Z", "talk_s": 184, "hold_s": 20, "wait_s": 12,
     "result": "answered"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from crmetrics.plugin import (
    CheckResult,
    Connector,
    ReadRequest,
    SourceError,
    SourceOptions,
    Supply,
    hookimpl,
)

# Which field of the export fills a column ...
FIELDS = {
    "id": "call_id",
    "direction": "dir",
    "occurred_at": "started",
    "user_id": "agent",
    "account_id": "customer",
    "case_id": "ticket",
    "outcome": "result",
    "talk_seconds": "talk_s",
    "hold_seconds": "hold_s",
    "queue_seconds": "wait_s",
}
# ... and what the words of the phone system are in crmetrics. Other words stay as they are.
WORDS = {
    "direction": {"in": "inbound", "out": "outbound"},
    "outcome": {"answered": "connected", "missed": "no_answer"},
}
CALLS_AT_ONCE = 10_000

Call = dict[str, str | None]
"""One line of an export: field -> text, whatever type JSON gave it."""


class PhoneLogOptions(SourceOptions):
    """What stands under `sources: NAME:` beside the keys that every source has."""

    path: str


class PhoneLog(Connector):
    """Calls from the JSON lines exports of a phone system; all are read each time."""

    name = "phone_log"
    is_local = True
    Config = PhoneLogOptions

    def datasets(self) -> Sequence[Supply]:
        return [Supply("activities", ("activity_type", *FIELDS))]

    def check(self) -> Iterator[CheckResult]:
        try:
            yield CheckResult("exports", "ok", f"{len(self._files())} files")
        except SourceError as exc:
            yield CheckResult("exports", "error", str(exc), fix="Correct `path` of the source.")

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        calls = self._calls(request)
        while some := list(islice(calls, CALLS_AT_ONCE)):
            yield _batch(some, request)

    def _files(self) -> list[Path]:
        path = self.context.project_dir / self.config.path
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        if not files or not files[0].is_file():
            raise SourceError(f"phone_log: expected *.jsonl files in {path}, found none.")
        return files

    def _calls(self, request: ReadRequest) -> Iterator[Call]:
        for file in self._files():
            with file.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    call = _parse(line)
                    if call is not None:
                        yield call
                    elif line.strip():
                        # Nothing is dropped in silence: the user sees reason and place.
                        request.reject("not a JSON object", where=f"{file.name}:{number}")


def _parse(line: bytes) -> Call | None:
    try:
        values: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    return {field: _text(value) for field, value in values.items()}


def _text(value: Any) -> str | None:
    # Text only: crmetrics casts to the type of the column, and reports what cannot be cast.
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _batch(calls: list[Call], request: ReadRequest) -> pa.RecordBatch:
    """The wanted columns: those that the user maps in crmetrics.yaml, and ours for the others."""
    columns: dict[str, Any] = {}
    if request.mapping:
        fields = dict.fromkeys([*FIELDS.values(), *request.source_fields])
        raw = {
            field: pa.array([call.get(field) for call in calls], pa.string()) for field in fields
        }
        mapped = request.evaluate(pa.RecordBatch.from_pydict(raw))
        columns.update(zip(mapped.schema.names, mapped.columns, strict=True))
    for column in request.columns:
        if column in columns:
            continue
        if column == "activity_type":
            columns[column] = pa.array(["call"] * len(calls))
        elif column in FIELDS:
            words = WORDS.get(column, {})
            values = [call.get(FIELDS[column]) for call in calls]
            columns[column] = pa.array([words.get(v or "", v) for v in values], pa.string())
    return pa.RecordBatch.from_pydict(columns)


@hookimpl
def crmetrics_connectors() -> list[type[Connector]]:
    return [PhoneLog]
