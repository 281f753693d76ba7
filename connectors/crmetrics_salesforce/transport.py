"""Which way a query is read: by pages of REST, or by a bulk job."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from crmetrics.plugin import ConnectorContext, SourceError
from crmetrics_salesforce.api import Api
from crmetrics_salesforce.bulk import BulkReader, Job, Refused
from crmetrics_salesforce.errors import TOO_HEAVY, TOO_LONG, ApiError
from crmetrics_salesforce.misfits import Misfits
from crmetrics_salesforce.rest import Opened, RestReader, is_too_long
from crmetrics_salesforce.soql import Query

if TYPE_CHECKING:
    import pyarrow as pa

_MARGIN = timedelta(minutes=10)

Way = Opened | Job | None
"""How a query is under way: its first page, its job, or not yet at all."""


class Transport:
    """Reads queries; small ones by REST, large ones by bulk jobs, each the other way if refused.

    The first page of a query tells its number of rows, and is the whole of a small one: the choice
    costs no call of its own.
    """

    def __init__(self, api: Api, context: ConnectorContext) -> None:
        self._api = api
        self.misfits = Misfits()
        self._rest = RestReader(api, self.misfits)
        self.bulk = BulkReader(api, context, self.misfits)
        self._lock = threading.Lock()
        self._refused: dict[str, str] = {}
        self._waiting: dict[str, Way] = {}
        self.resumed: dict[str, datetime] = {}
        """Object -> when the job of an earlier run began whose rows were read."""

    # --- under way -----------------------------------------------------------------------------

    def prepare(self, queries: Sequence[Query], started: datetime) -> None:
        """Ask for several queries side by side, so that their jobs run while others are read."""
        self._api.start()
        with ThreadPoolExecutor(self._api.options.parallel) as pool:
            for query, way in zip(
                queries, pool.map(lambda q: self._quietly_opened(q, started), queries), strict=True
            ):
                if way is not None:
                    with self._lock:
                        self._waiting[_identity(query)] = way

    def _quietly_opened(self, query: Query, started: datetime) -> Way:
        try:
            return self._opened(query, started)
        except SourceError:
            return None  # the read meets it again, and tells it

    def _opened(self, query: Query, started: datetime) -> Way:
        choice = self._api.options.transport
        may_resume = query.window is not None and self.bulk.has(query)
        if choice == "bulk" or may_resume or (choice == "auto" and is_too_long(query)):
            job = self._job(query, started)
            if job is not None or is_too_long(query):
                return job
        if is_too_long(query):
            return None
        try:
            opened = self._rest.open(query)
        except ApiError as exc:
            if not (exc.code in TOO_HEAVY or exc.status in TOO_LONG):
                raise
            # None: the walk meets the refusal again, and cuts the query into pieces.
            return None if choice == "rest" else self._job(query, started)
        if choice == "auto" and opened.total >= self._api.options.bulk_from:
            return self._job(query, started) or opened
        return opened

    def _job(self, query: Query, started: datetime) -> Job | None:
        """A job, or None when Bulk refuses the object; then it is not asked again."""
        if query.object in self._refused:
            return None
        try:
            return self.bulk.start(query, started)
        except Refused as exc:
            with self._lock:
                self._refused[query.object] = str(exc)
        return None

    def why_refused(self, name: str) -> str:
        """What Bulk said of an object; empty when it took it, or was not asked."""
        return self._refused.get(name, "")

    # --- reading ---------------------------------------------------------------------------------

    def batches(self, query: Query, started: datetime) -> Iterator[pa.RecordBatch]:
        """All rows of the query as batches of its fields."""
        self._api.start()
        with self._lock:
            way = self._waiting.pop(_identity(query), None)
        if way is None:
            way = self._opened(query, started)
        if not isinstance(way, Job):
            yield from self._rest.batches(query, way)
            return
        yield from self.bulk.batches(way, query)
        if way.is_resumed:
            self.resumed[query.object] = min(way.began, self.resumed.get(query.object, way.began))
            if query.window is not None:
                yield from self._since_job(way, query)

    def _since_job(self, job: Job, query: Query) -> Iterator[pa.RecordBatch]:
        """What changed after a job of an earlier run began; repeated rows are settled by key."""
        assert query.window is not None
        lower = (job.upper or job.began) - _MARGIN
        yield from self._rest.batches(query.over(replace(query.window, lower=lower)))

    def close(self) -> None:
        self.bulk.close()


def _identity(query: Query) -> str:
    return f"{query.all_rows} {query.soql()}"
