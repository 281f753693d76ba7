"""Reading by Bulk API 2.0 jobs: made, waited for, read page by page, resumed, counted."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from crmetrics.plugin import ConnectorContext, SourceError, http
from crmetrics_salesforce.answers import JobMade, JobState
from crmetrics_salesforce.api import Api
from crmetrics_salesforce.csv_pages import table_of
from crmetrics_salesforce.errors import FORBIDDEN, ApiError, judge_result
from crmetrics_salesforce.misfits import Misfits
from crmetrics_salesforce.soql import Query

if TYPE_CHECKING:
    import pyarrow as pa

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 30.0
KEPT_FOR = timedelta(days=6)  # results live for seven
_STORED = "bulk_jobs"
_ENDED = frozenset({"JobComplete", "Failed", "Aborted"})
_BATCH_ROWS = 50_000
_NOT_TAKEN = frozenset({400, 404, 405})
"""Objects, clauses and editions that Bulk lacks, and its own daily limit."""
_PASSING = frozenset({401, 406, 420, 429, 503})
"""About the session or the moment; the job is as good as before."""


class Refused(SourceError):
    """Bulk does not take this query; a query by REST may do. is_switched_off: for the user or the
    org, whatever is asked for."""

    def __init__(self, message: str, *, is_switched_off: bool) -> None:
        super().__init__(message)
        self.is_switched_off = is_switched_off


@dataclass(frozen=True)
class Job:
    """A job of the org. began: rows that changed later are not in it. upper: of its window."""

    id: str
    began: datetime
    upper: datetime | None
    is_resumed: bool = False


class BulkReader:
    """Starts, resumes and reads jobs. What a killed run left running is found by its query."""

    def __init__(self, api: Api, context: ConnectorContext, misfits: Misfits) -> None:
        self._api = api
        self._misfits = misfits
        self._storage = context.storage
        self._lock = threading.Lock()
        self._done: list[str] = []
        self._own: set[str] = set()

    # --- life -----------------------------------------------------------------------------------

    def start(self, query: Query, started: datetime, oldest: datetime | None) -> Job:
        """A job that runs this query: one that an earlier run began at `oldest` or later, else a
        new one. oldest: None = a new one whatever there is.

        Raises Refused when Bulk does not take the query.
        """
        key = _key(query, self._api.options.api_version)
        return self._resumed(key, oldest) or self._created(query, key, started)

    def has(self, query: Query, oldest: datetime | None) -> bool:
        """True when an earlier run began a job for this query at `oldest` or later."""
        return self._found(_key(query, self._api.options.api_version), oldest) is not None

    def abandon(self, query: Query) -> None:
        """Resume no job that an earlier run began for this query, now or later.

        Nothing is asked of the org, which deletes the job after seven days by itself: jobs may be
        what does not work there.
        """
        key = _key(query, self._api.options.api_version)
        with self._lock:
            entry = self._storage.read(_STORED).get(key)
        if isinstance(entry, dict):
            self._forget(entry["id"])

    def _found(self, key: str, oldest: datetime | None) -> dict[str, str] | None:
        with self._lock:
            entry = self._storage.read(_STORED).get(key)
            if oldest is None or not isinstance(entry, dict) or entry.get("id") in self._own:
                return None
            return entry if datetime.fromisoformat(entry["began"]) >= oldest else None

    def _created(self, query: Query, key: str, started: datetime) -> Job:
        body = {
            "operation": "queryAll" if query.all_rows else "query",
            "query": query.soql(),
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        what = f"the bulk job of {query.object}"
        try:
            made = self._api.asked(JobMade, "POST", "jobs/query", what=what, json=body)
        except ApiError as exc:
            is_forbidden = exc.status == 403 and exc.code in FORBIDDEN
            if exc.status not in _NOT_TAKEN and not is_forbidden:
                raise
            raise Refused(str(exc), is_switched_off=exc.status != 400) from None
        upper = query.window.upper if query.window else None
        job = Job(made.id, started, upper)
        entry = {"id": job.id, "began": started.isoformat(), "object": query.object}
        if upper is not None:
            entry["upper"] = upper.isoformat()
        with self._lock:
            self._own.add(job.id)
            kept = {k: e for k, e in self._storage.read(_STORED).items() if _lives(e, started)}
            self._storage.write(_STORED, {**kept, key: entry})
        return job

    def _resumed(self, key: str, oldest: datetime | None) -> Job | None:
        entry = self._found(key, oldest)
        if entry is None:
            return None
        began = datetime.fromisoformat(entry["began"])
        upper = datetime.fromisoformat(entry["upper"]) if entry.get("upper") else None
        try:
            state = self._state(entry["id"]).state
        except ApiError as exc:
            if not _is_gone(exc):
                raise  # about the session or the moment: the next run asks for it again
            state = "Failed"
        if state in ("Failed", "Aborted"):
            self._forget(entry["id"])
            return None
        return Job(entry["id"], began, upper, is_resumed=True)

    def _forget(self, identity: str) -> None:
        with self._lock:
            stored = self._storage.read(_STORED)
            left = {key: entry for key, entry in stored.items() if entry.get("id") != identity}
            if left:
                self._storage.write(_STORED, left)
            elif stored:
                self._storage.delete(_STORED)

    def _state(self, identity: str) -> JobState:
        path = f"jobs/query/{identity}"
        return self._api.asked(JobState, "GET", path, what=f"the state of a bulk job ({path})")

    def close(self) -> None:
        """Delete the jobs that were read to their end.

        What fails here does no harm: the org deletes jobs after seven days by itself.
        """
        for identity in self._done:
            self._discard(identity)
        self._done.clear()

    def _discard(self, identity: str) -> None:
        try:
            if self._state(identity).state not in _ENDED:
                self._api.call(
                    "PATCH", f"jobs/query/{identity}", what="the end of a job",
                    json={"state": "Aborted"},
                )  # fmt: skip
            self._api.call("DELETE", f"jobs/query/{identity}", what="the end of a job")
        except SourceError:
            pass
        self._forget(identity)

    # --- reading --------------------------------------------------------------------------------

    def batches(self, job: Job, query: Query) -> Iterator[pa.RecordBatch]:
        """The rows of a job, when it is complete; every page and the whole are counted.

        Raises SourceError when the job failed, takes too long, or the counts differ. No later run
        resumes it then.
        """
        expected = self._wait(job, query)
        rows, is_end_told = 0, False
        for table, is_last in self._pages(job, query):
            rows, is_end_told = rows + table.num_rows, is_last
            yield from table.to_batches(max_chunksize=_BATCH_ROWS)
        with self._judged(job):
            _require_whole(rows, expected, query, is_end_told=is_end_told)
        self._done.append(job.id)

    def _wait(self, job: Job, query: Query) -> int | None:
        deadline = time.monotonic() + self._api.options.bulk_timeout.total_seconds()
        pause_s, waited_s = _FIRST_WAIT_S, 0.0
        while True:
            told = self._state(job.id)
            if told.state == "JobComplete":
                return told.number_records_processed
            if told.state in ("Failed", "Aborted"):
                self._forget(job.id)
                self._api.forget(query.object)
                said = told.error_message or "no reason given"
                raise SourceError(
                    f"{query.object}: the bulk job ended as {told.state}: {said}. "
                    "Run again; set transport: rest if it fails again."
                )
            limit_s = self._api.options.bulk_timeout.total_seconds()
            if time.monotonic() > deadline or waited_s > limit_s:
                self._discard(job.id)
                raise SourceError(
                    f"{query.object}: the bulk job was not complete after {limit_s / 60:.0f} "
                    "minutes, and was stopped. Raise bulk_timeout or narrow `where:`."
                )
            self._api.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(pause_s * 1.5, _LONGEST_WAIT_S)

    def _pages(self, job: Job, query: Query) -> Iterator[tuple[pa.Table, bool]]:
        """Each page, and whether it says in words that it is the last."""
        params = {"maxRecords": str(self._api.options.page_rows)}
        pager = http.LocatorPager("Sforce-Locator")
        step, number = pager.first(), 0
        trail = http.Trail(f"the bulk job of {query.object}")
        trail.enter(step)
        while True:
            response = self._page(job, query, number, {**params, **step.params})
            with self._judged(job):
                table = table_of(_body(response, query), query, self._misfits)
                _require_count(table.num_rows, response, query, number)
                following = pager.after(http.Page(b"", response.headers, number), step)
                if following is not None:
                    trail.enter(following)
            yield table, response.headers.get("Sforce-Locator", "").strip() == "null"
            if following is None:
                return
            step, number = following, number + 1

    def _page(self, job: Job, query: Query, number: int, params: dict[str, str]) -> http.Response:
        try:
            return self._api.call(
                "GET",
                f"jobs/query/{job.id}/results",
                what=f"page {number + 1} of the bulk job of {query.object}",
                params=params,
                judge=judge_result,
            )
        except ApiError as exc:
            # A lost connection, a used up allowance: the next run goes on with the job.
            if exc.status not in _PASSING and exc.code != "REQUEST_LIMIT_EXCEEDED":
                self._forget(job.id)
            raise

    @contextmanager
    def _judged(self, job: Job) -> Iterator[None]:
        """A result that is wrong stays wrong: the next run begins a job of its own."""
        try:
            yield
        except SourceError:
            self._forget(job.id)
            self._done.append(job.id)
            raise


def _is_gone(exc: ApiError) -> bool:
    """True when the org has no such job any more, or none for this user."""
    if exc.status == 400:
        return exc.code != "UNABLE_TO_LOCK_ROW"
    return exc.status == 404 or (exc.status == 403 and exc.code in FORBIDDEN)


def _body(response: http.Response, query: Query) -> bytes:
    if response.status == 204:
        raise SourceError(f"{query.object}: the bulk job has no results; run again.")
    return response.body


def _require_whole(rows: int, expected: int | None, query: Query, *, is_end_told: bool) -> None:
    if expected is None and not is_end_told:
        raise SourceError(
            f"{query.object}: neither the bulk job tells how many rows it found, nor a page "
            "that it is the last (header Sforce-Locator: null), so that what came may be a "
            "part. Let the proxy pass the headers Sforce-*, or set transport: rest."
        )
    if expected is not None and rows != expected:
        raise SourceError(
            f"{query.object}: the bulk job says it found {expected:,} rows, its pages hold "
            f"{rows:,}. Nothing of this read was kept; run again: that begins a new job. Set "
            "transport: rest if it fails again."
        )


def _require_count(rows: int, response: http.Response, query: Query, number: int) -> None:
    said = response.headers.get("Sforce-NumberOfRecords", "")
    if said.isdigit() and int(said) != rows:
        raise SourceError(
            f"{query.object}: page {number + 1} of the bulk job says it has {int(said):,} rows, "
            f"{rows:,} came. Nothing of this read was kept; run again."
        )


def _lives(entry: Any, now: datetime) -> bool:
    """False for a job whose results the org has thrown away by now."""
    began = entry.get("began") if isinstance(entry, dict) else None
    return began is not None and now - datetime.fromisoformat(str(began)) <= KEPT_FOR


def _key(query: Query, version: str) -> str:
    """The same for a query that asks for the same, its upper bound excepted."""
    lower = (
        query.window.lower.astimezone(UTC).isoformat()
        if query.window and query.window.lower
        else ""
    )
    parts = [version, query.object, sorted(query.fields), query.lasting, lower, query.all_rows]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
