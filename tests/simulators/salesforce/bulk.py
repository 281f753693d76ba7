"""Bulk API 2.0 query jobs: their states, their pages, what they refuse."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from simulators.messages import Answer, Call
from simulators.salesforce.errors import NOT_FOUND, Refusal
from simulators.salesforce.org import make_id
from simulators.salesforce.paths import Record
from simulators.salesforce.schema import COMPOUND
from simulators.salesforce.selecting import Selection, csv_page
from simulators.salesforce.soql import parse
from simulators.service import route

if TYPE_CHECKING:
    from simulators.salesforce.server import SalesforceSimulator

_DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";",
               "TAB": "\t"}  # fmt: skip
_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
_FINAL = frozenset({"JobComplete", "Failed", "Aborted"})
_BASE = "/services/data/v{version}/jobs/query"


@dataclass
class Job:
    """One query job. outcome: `complete`, `fail: MESSAGE`, `abort` or `hang`."""

    id: str
    version: str
    operation: str
    delimiter: str
    ending: str
    object: str
    selection: Selection | None
    created: datetime
    outcome: str
    state: str = "UploadComplete"
    polls: int = 0
    error: str = ""
    records: Sequence[Record] = field(default_factory=list)


class Bulk:
    """Serves `/jobs/query`.

    outcomes: what becomes of the next jobs; without an entry a job completes after `polls_needed`
    polls. not_ready: the status of results that are asked for too early, 412 or 204. jobs_left:
    how many jobs may still be made today. page_cap: no page of results is longer.
    """

    def __init__(self, simulator: SalesforceSimulator) -> None:
        self.simulator = simulator
        self.jobs: dict[str, Job] = {}
        self.outcomes: list[str] = []
        self.polls_needed = 2
        self.not_ready = 412
        self.jobs_left = 10_000
        self.page_cap = 50_000
        self._numbers = itertools.count(1)

    # --- creation ----------------------------------------------------------------------------

    @route("POST", _BASE)
    def create(self, call: Call, version: str) -> Answer:
        if call.content_type != "application/json":
            raise Refusal("INVALID_CONTENT_TYPE", "the body has to be application/json", 415)
        body = call.json()
        operation = body.get("operation", "")
        if operation not in ("query", "queryAll"):
            raise Refusal("API_ERROR", "InvalidOperation: operation has to be query or queryAll")
        if body.get("contentType", "CSV") != "CSV":
            raise Refusal("API_ERROR", "InvalidJob: contentType has to be CSV")
        delimiter = body.get("columnDelimiter", "COMMA")
        ending = body.get("lineEnding", "LF")
        if delimiter not in _DELIMITERS or ending not in _ENDINGS:
            raise Refusal("API_ERROR", "InvalidJob: unknown columnDelimiter or lineEnding")
        if self.jobs_left <= 0:
            raise Refusal("LIMIT_EXCEEDED", "Max bulk v2 query jobs (10000) per 24 hrs has been "
                          "reached")  # fmt: skip
        name, selection, error = self._bound(str(body.get("query", "")), operation)
        self.jobs_left -= 1
        outcome = self.outcomes.pop(0) if self.outcomes else "complete"
        job = Job(
            make_id("750", next(self._numbers)), version, operation, delimiter, ending, name,
            selection, self.simulator.org.now(), f"fail: {error}" if error else outcome,
        )  # fmt: skip
        self.jobs[job.id] = job
        return Answer.json(self._shown(job))

    def _bound(self, text: str, operation: str) -> tuple[str, Selection | None, str]:
        """Object and selection; a wrong field is found only when the job runs."""
        query = parse(text)
        found = self.simulator.org.object(query.object)
        if found is not None and not found.is_bulk:
            raise Refusal(
                "INVALIDENTITY", f"Entity '{found.name}' is not supported by the Bulk API."
            )
        if query.is_count or query.is_aggregate or query.offset is not None or query.fields_of:
            raise Refusal(
                "API_ERROR", "MALFORMED_QUERY: this clause is not supported in Bulk Query"
            )
        try:
            selection = Selection(self.simulator.org, query, all_rows=operation == "queryAll")
        except Refusal as refusal:
            if refusal.code != "INVALID_FIELD":
                raise
            return query.object, None, f"{refusal.code}: {refusal.message}"
        if any(column.field.kind in COMPOUND | {"base64"} for column in selection.columns):
            raise Refusal("API_ERROR", "Selecting compound data not supported in Bulk Query")
        self.simulator.noted(selection)
        return selection.source.name, selection, ""

    # --- life --------------------------------------------------------------------------------

    def _shown(self, job: Job, *, is_polled: bool = False) -> dict[str, Any]:
        stamp = job.created.isoformat()[:19] + ".000+0000"
        shown: dict[str, Any] = {
            "id": job.id,
            "operation": job.operation,
            "object": job.object,
            "createdById": self.simulator.org.user,
            "createdDate": stamp,
            "systemModstamp": stamp,
            "state": job.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version),
            "lineEnding": job.ending,
            "columnDelimiter": job.delimiter,
        }
        if is_polled:
            shown |= {
                "jobType": "V2Query",
                "numberRecordsProcessed": len(job.records),
                "retries": 0,
                "totalProcessingTime": 100 * job.polls,
                "isPkChunkingSupported": True,
            }
            if job.error:
                shown["errorMessage"] = job.error
        return shown

    def _advance(self, job: Job) -> None:
        if job.state in _FINAL:
            return
        job.polls += 1
        if job.outcome == "hang" or job.polls < self.polls_needed:
            job.state = "InProgress"
        elif job.outcome.startswith("fail"):
            job.state, job.error = "Failed", job.outcome.partition(": ")[2]
        elif job.outcome == "abort":
            job.state = "Aborted"
        elif job.state == "UploadComplete":
            job.state = "InProgress"
        else:
            assert job.selection is not None
            job.state, job.records = "JobComplete", job.selection.records()

    def _job(self, call_version: str, identity: str) -> Job:
        job = self.jobs.get(identity)
        if job is None:
            raise NOT_FOUND
        if job.version != call_version:
            raise Refusal("API_ERROR", "InvalidVersion: the job was made by another version", 409)
        return job

    @route("GET", _BASE)
    def all_jobs(self, call: Call, version: str) -> Answer:
        jobs = [self._shown(job) for job in self.jobs.values()]
        return Answer.json({"done": True, "records": jobs, "nextRecordsUrl": None})

    @route("GET", _BASE + "/{identity}")
    def poll(self, call: Call, version: str, identity: str) -> Answer:
        job = self._job(version, identity)
        self._advance(job)
        return Answer.json(self._shown(job, is_polled=True))

    @route("PATCH", _BASE + "/{identity}")
    def change(self, call: Call, version: str, identity: str) -> Answer:
        job = self._job(version, identity)
        if call.json().get("state") != "Aborted" or job.state in _FINAL:
            raise Refusal("API_ERROR", f"InvalidJobState: the job is {job.state}")
        job.state = "Aborted"
        return Answer.json(self._shown(job))

    @route("DELETE", _BASE + "/{identity}")
    def delete(self, call: Call, version: str, identity: str) -> Answer:
        job = self._job(version, identity)
        if job.state not in _FINAL:
            raise Refusal("API_ERROR", f"InvalidJobState: a job that is {job.state} cannot be "
                          "deleted")  # fmt: skip
        del self.jobs[identity]
        return Answer(204)

    # --- results -----------------------------------------------------------------------------

    @route("GET", _BASE + "/{identity}/results")
    def results(self, call: Call, version: str, identity: str) -> Answer:
        job = self._job(version, identity)
        if job.state != "JobComplete":
            return self._too_early(job)
        wanted = call.query.get("maxRecords", "")
        size = min(
            int(wanted) if wanted.isdigit() and int(wanted) else self.page_cap, self.page_cap
        )
        start = self._start(job, call.query.get("locator", ""))
        page = job.records[start : start + size]
        end = start + len(page)
        is_last = end >= len(job.records)
        locator = "null" if is_last else _locator(end)
        assert job.selection is not None
        body = csv_page(
            job.selection.columns, page, delimiter=_DELIMITERS[job.delimiter],
            ending=_ENDINGS[job.ending],
        )  # fmt: skip
        headers = {
            "Content-Type": "text/csv; charset=UTF-8",
            "Sforce-Locator": locator,
            "Sforce-NumberOfRecords": str(len(page)),
        }
        return Answer(200, body, headers)

    def _too_early(self, job: Job) -> Answer:
        if self.not_ready == 204:
            return Answer(204)
        return Refusal("JOB_NOT_COMPLETE", f"the job is {job.state}", 412).answer()

    def _start(self, job: Job, locator: str) -> int:
        if not locator:
            return 0
        try:
            start = int(base64.urlsafe_b64decode(locator).decode())
        except ValueError:
            start = -1
        if not 0 < start < len(job.records):
            raise Refusal("API_ERROR", "InvalidUrl: the locator is not one of this job")
        return start


def _locator(start: int) -> str:
    return base64.urlsafe_b64encode(str(start).encode()).decode()
