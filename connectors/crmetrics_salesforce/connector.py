"""The connector `salesforce`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from crmetrics.plugin import (
    CheckResult,
    Connector,
    Estimate,
    ReadRequest,
    SourceError,
    SourceOptions,
    Supply,
    http,
    pause,
)
from crmetrics_salesforce.options import SalesforceOptions

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics_salesforce.api import Api
    from crmetrics_salesforce.catalog import Catalog
    from crmetrics_salesforce.lookups import Lookups
    from crmetrics_salesforce.reading import DatasetRead
    from crmetrics_salesforce.transport import Transport

_REST_PAGE = 2000
_POLLS = 12
_REVISIONS = {"orders": 1, "subscriptions": 1}
"""Counts up when the connector makes other rows of the same records: what an earlier version
loaded is read whole again."""


class SalesforceConnector(Connector):
    """A Salesforce org: queries for what is small, bulk jobs for what is large, changes by
    SystemModstamp, deletions by the recycle bin and the log."""

    name: ClassVar[str] = "salesforce"
    Config: ClassVar[type[SourceOptions]] = SalesforceOptions
    config: SalesforceOptions

    sleep: Callable[[float], object] = staticmethod(pause)
    """The clock of pauses, of jobs and of retries."""

    now_s: Callable[[], float] = staticmethod(time.time)
    """The present as seconds since 1970, for assertions that expire."""

    @cached_property
    def api(self) -> Api:
        # Late, here and below: only a process that reads from Salesforce needs the way to it.
        from crmetrics_salesforce.api import Api

        return Api(
            self.config,
            self.context,
            sleep=self.sleep,
            now_s=self.now_s,
            retries=self.retries(),
        )

    def retries(self) -> http.Retries:
        return http.Retries(attempts=6, longest_wait_s=300)

    @cached_property
    def catalog(self) -> Catalog:
        from crmetrics_salesforce.catalog import Catalog

        return Catalog(self.config, self.context, self.api)

    def _reading(self, request: ReadRequest) -> DatasetRead:
        from crmetrics_salesforce.reading import DatasetRead

        return DatasetRead(self.catalog, self.transport, self.lookups, request)

    @cached_property
    def transport(self) -> Transport:
        from crmetrics_salesforce.transport import Transport

        return Transport(self.api, self.context)

    @cached_property
    def lookups(self) -> Lookups:
        from crmetrics_salesforce.lookups import Lookups

        return Lookups(self.transport)

    def datasets(self) -> Sequence[Supply]:
        return self.catalog.supplies()

    def check(self) -> Iterable[CheckResult]:
        from crmetrics_salesforce.checking import SourceCheck

        return SourceCheck(self.catalog).results()

    def estimate(
        self, dataset: str, columns: Sequence[str], *, rows: int | None, is_incremental: bool
    ) -> Estimate | None:
        objects = self.catalog.calls_of(dataset, columns, is_incremental=is_incremental)
        if rows is None:
            return Estimate(objects, "at least; never read before")
        if is_incremental:
            return Estimate(objects, "changes only")
        if self.config.transport != "rest" and rows >= self.config.bulk_from:
            pages = math.ceil(rows / self.config.page_rows)
            return Estimate(objects + 1 + _POLLS + pages, f"{rows:,} rows by a bulk job")
        return Estimate(
            objects - 1 + max(1, math.ceil(rows / _REST_PAGE)), f"{rows:,} rows by queries"
        )

    def definition(self, dataset: str) -> str:
        own = self.config.datasets.get(dataset)
        rules = own.model_dump(include={"is_test", "is_spam", "where", "object"}) if own else {}
        statuses: dict[str, dict[str, str]] = {
            "case_status_history": dict(self.config.case_statuses),
            "leads": dict(self.config.lead_statuses),
            "quotas": {"rows": "summed by owner, period and forecast type"},
            "forecasts": {"rows": "summed by owner, period, category and forecast type"},
        }
        parts: list[object] = [self.config.domain, rules, statuses.get(dataset)]
        if dataset in _REVISIONS:
            parts.append(_REVISIONS[dataset])
        return json.dumps(parts, sort_keys=True)

    def prepare(self, requests: Sequence[ReadRequest]) -> None:
        if len(requests) < 2:
            return
        try:
            names = [request.dataset.name for request in requests]
            self.api.describe_all(self.catalog.needed_objects(names))
            queries = []
            for request in requests:
                queries += self._reading(request).queries()
            self.transport.prepare(queries, requests[0].started)
        except SourceError:
            return  # each read meets it again, and tells it

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        yield from self._reading(request).batches()

    def close(self) -> None:
        if "transport" in self.__dict__:
            self.transport.close()
        if "api" in self.__dict__:
            self.api.close()
