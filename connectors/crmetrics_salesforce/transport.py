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
from crmetrics_salesforce.bulk import KEPT_FOR, BulkReader, Job, Refused
from crmetrics_salesforce.errors import TOO_HEAVY, TOO_LONG, ApiError
from crmetrics_salesforce.misfits import Misfits
from crmetrics_salesforce.query_pages import Opened
from crmetrics_salesforce.rest import RestReader
from crmetrics_salesforce.soql import Query

if TYPE_CHECKING:
    import pyarrow as pa

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
        self._refused: dict[str, Refused] = {}
        self._waiting: dict[str, Way] = {}
        self.resumed: dict[str, datetime] = {}
        """Object -> when the job of an earlier run began whose rows were read."""
        self._youth: dict[str, timedelta | None] = {}

    def resume_within(self, name: str, age: timedelta | None) -> None:
        """How old a job of an earlier run may be to be used for an object; None = none is used.

        Of several limits the narrowest counts.
        """
        with self._lock:
            known = self._youth.get(name, KEPT_FOR)
            self._youth[name] = None if age is None or known is None else min(age, known)

    def _oldest(self, query: Query, started: datetime) -> datetime | None:
        """Since when a job may have begun whose rows serve this query; None = none serves it."""
        # Without a window, what changed since a job began could not be asked for. Ids alone tell
        # what exists or has left: what an earlier run found of that may be wrong by now.
        age = self._youth.get(query.object, KEPT_FOR)
        if query.window is None or query.fields == ("Id",) or age is None:
            return None
        return started - age

    # --- under way -----------------------------------------------------------------------------

    def prepare(self, queries: Sequence[Query], started: datetime) -> None:
        """Ask for several queries side by side, so that their jobs run while others are read."""
        self._api.start()
        pool = ThreadPoolExecutor(self._api.options.parallel)
        try:
            for query, way in zip(
                queries, pool.map(lambda q: self._quietly_opened(q, started), queries), strict=True
            ):
                if way is not None:
                    with self._lock:
                        self._waiting[_identity(query)] = way
        finally:
            # Who ends the program does not wait for answers that nobody needs any more.
            pool.shutdown(wait=False, cancel_futures=True)

    def _quietly_opened(self, query: Query, started: datetime) -> Way:
        try:
            return self._opened(query, started)
        except SourceError:
            return None  # the read meets it again, and tells it

    def _opened(self, query: Query, started: datetime) -> Way:
        choice = self._api.options.transport
        if choice == "rest":
            self.bulk.abandon(query)
        may_resume = choice != "rest" and self.bulk.has(query, self._oldest(query, started))
        is_too_long = self._rest.is_too_long(query)
        is_for_bulk = is_too_long and query.among is None  # a list of values is cut instead
        if choice == "bulk" or may_resume or (choice == "auto" and is_for_bulk):
            job = self._job(query, started)
            if job is not None or is_too_long:
                return job
        if is_too_long:
            return None
        try:
            opened = self._rest.open(query)
        except ApiError as exc:
            if not (exc.code in TOO_HEAVY or exc.status in TOO_LONG):
                raise
            # None: the walk cuts the query into pieces.
            is_cut = choice == "rest" or (exc.status in TOO_LONG and query.among is not None)
            return None if is_cut else self._job(query, started)
        if choice == "auto" and opened.total >= self._api.options.bulk_from:
            return self._job(query, started) or opened
        return opened

    def _job(self, query: Query, started: datetime) -> Job | None:
        """A job, or None when Bulk refuses the object; then it is not asked again."""
        if query.object in self._refused:
            return None
        try:
            return self.bulk.start(query, started, self._oldest(query, started))
        except Refused as exc:
            with self._lock:
                self._refused[query.object] = exc
        return None

    def switched_off(self, name: str) -> str:
        """Why bulk jobs were refused whatever they ask for, where the project file wants them;
        empty otherwise."""
        found = self._refused.get(name)
        is_wanted = self._api.options.transport == "bulk"
        return str(found) if is_wanted and found is not None and found.is_switched_off else ""

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
        # Where the read after a run that had finished then would have begun.
        options = self._api.options
        lower = (job.upper or job.began - options.hold_back) - options.overlap
        yield from self._rest.batches(query.over(replace(query.window, lower=lower)))

    def close(self) -> None:
        self.bulk.close()


def _identity(query: Query) -> str:
    return f"{query.all_rows} {query.soql()}"
