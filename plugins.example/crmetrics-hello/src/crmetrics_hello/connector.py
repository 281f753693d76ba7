"""Accounts of Hello CRM: `GET /companies`, pages of 100, changed since an instant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

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

# canonical column <- field of the API
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
PAGE_SIZE = 100


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
        token = self.config.token.reveal()
        return http.Session(self.config.base_url, headers={"Authorization": f"Bearer {token}"})

    def datasets(self) -> Sequence[Supply]:
        return [Supply("accounts", tuple(FIELDS), incremental=True, deletes=True)]

    def check(self) -> Iterator[CheckResult]:
        try:
            self._get({"limit": "1"})
        except SourceError as exc:
            yield CheckResult("token", "error", str(exc), fix="Renew the token in Hello CRM.")
        else:
            yield CheckResult("token", "ok", "companies can be read")

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        params = {"limit": str(PAGE_SIZE)}
        if request.since is not None:
            params["changed_since"] = request.since.isoformat()
        if request.until is not None:
            params["changed_before"] = request.until.isoformat()
        while True:
            page = self._get(params)
            if page["items"]:
                yield _batch(page["items"], request)
            if not page.get("next"):
                return
            params["cursor"] = page["next"]

    def close(self) -> None:
        if "_session" in self.__dict__:
            self._session.close()

    def _get(self, params: Mapping[str, str]) -> Any:
        """One page. The session repeats what may be repeated: lost connections, 429, 5xx."""
        try:
            with self._session.request("GET", "/companies", params=params) as response:
                status, body = response.status, response.body
            page = json.loads(body) if status == 200 else None
        except http.HttpError as exc:
            raise SourceError(f"hello: {exc}") from None
        except ValueError:
            raise SourceError(
                "hello: /companies answered with something that is no JSON."
            ) from None
        if status == 401:
            raise SourceError("hello: the token was refused. Renew it in Hello CRM.")
        if not isinstance(page, dict) or "items" not in page:
            raise SourceError(f"hello: /companies answered {status} without `items`.")
        return page


def _batch(items: Sequence[Mapping[str, Any]], request: ReadRequest) -> pa.RecordBatch:
    """The wanted columns: those that the user maps in crmetrics.yaml, and ours for the others."""
    columns: dict[str, Any] = {}
    if request.mapping:
        fields = dict.fromkeys([*FIELDS.values(), *request.source_fields])
        raw = pa.RecordBatch.from_pydict({field: _texts(items, field) for field in fields})
        mapped = request.evaluate(raw)
        columns.update(zip(mapped.schema.names, mapped.columns, strict=True))
    for column in request.columns:
        if column not in columns and column in FIELDS:
            columns[column] = _texts(items, FIELDS[column])
    return pa.RecordBatch.from_pydict(columns)


def _texts(items: Sequence[Mapping[str, Any]], field: str) -> pa.StringArray:
    """One field of every item as text; crmetrics casts to the type of the column."""
    values = (item.get(field) for item in items)
    return pa.array(
        [v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string()
    )
