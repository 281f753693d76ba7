"""Accounts of Hello CRM: `GET /companies`, pages of 100, changed since an instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import pyarrow as pa

from crmetrics.plugin import (
    CheckResult,
    Connector,
    ReadRequest,
    Secret,
    SourceError,
    SourceOptions,
    Supply,
    http,
)

# canonical column <- field of the API, or a SQL expression over its fields
FIELDS = {
    "id": "id",
    "updated_at": "changed",
    "is_deleted": "deleted",
    "account_type": "kind",
    "industry": "industry",
    "country": "country",
    "owner_id": "owner",
    "created_at": "created",
}
TYPES = {"deleted": pa.bool_(), "size": pa.int64()}  # every other field is a text
PAGER = http.CursorPager(param="cursor", path="next")


class HelloOptions(SourceOptions):
    """What stands under `sources: NAME:` beside the keys that every source has."""

    base_url: str = "https://api.hello-crm.example/v1"
    token: Secret


class HelloConnector(Connector):
    """Companies of Hello CRM, only those changed since the last read, the deleted included."""

    name = "hello"
    Config = HelloOptions

    @cached_property
    def _session(self) -> http.Session:
        return http.Session(self.config.base_url, tokens=http.fixed(self.config.token))

    def datasets(self) -> Sequence[Supply]:
        return [Supply("accounts", tuple(FIELDS), incremental=True, deletes=True)]

    def check(self) -> Iterator[CheckResult]:
        try:
            next(self._pages({"limit": "1"}))
        except SourceError as exc:
            yield CheckResult("token", "error", str(exc), fix="Renew the token in Hello CRM.")
        else:
            yield CheckResult("token", "ok", "companies can be read")

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        params = {"limit": "100"}
        if request.since is not None:
            params["changed_since"] = request.since.isoformat()
        if request.until is not None:
            params["changed_before"] = request.until.isoformat()
        fields = {name: TYPES.get(name, pa.string()) for name in request.fields_of(FIELDS)}
        bodies = (page.body for page in self._pages(params))
        for batch in http.JsonRecords("items", fields).batches(bodies):
            yield request.derive(batch, FIELDS)

    def close(self) -> None:
        if "_session" in self.__dict__:
            self._session.close()

    def _pages(self, params: Mapping[str, str]) -> Iterator[http.Page]:
        return http.pages(self._session, "/companies", PAGER, params=params)
