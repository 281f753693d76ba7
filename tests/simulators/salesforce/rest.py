"""The REST resources: query and its locators, describe, deleted and updated ids, limits, batch."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from simulators.messages import Answer, Call
from simulators.salesforce.errors import NOT_FOUND, SESSION_LOST, Refusal
from simulators.salesforce.org import make_id
from simulators.salesforce.paths import Record
from simulators.salesforce.selecting import Selection, select
from simulators.service import route

if TYPE_CHECKING:
    from simulators.salesforce.server import SalesforceSimulator

_LARGEST_BATCH, _SMALLEST_BATCH, _LONG_TEXT_BATCH = 2000, 200, 200
_MAX_DESCRIBES = 25
_DELETED_DAYS, _UPDATED_DAYS = 15, 30
_LONGEST_IDS = 600_000


@dataclass
class Cursor:
    """A query half read: the ids to come, shown as they are when their page is asked for."""

    token: str
    selection: Selection
    ids: list[str]
    total: int
    batch: int
    version: str
    is_expired: bool = False


class Rest:
    """Serves what lies under `/services/data/vXX.X/` except jobs.

    batch_cap: no page is longer, however long was asked for. varies_pages: pages are shorter than
    the batch, each by another number. checks: refusals of single queries, by what they ask.
    covered_lag: how far `latestDateCovered` stays behind the present. has_connect: the Connect API
    is there.
    """

    def __init__(self, simulator: SalesforceSimulator) -> None:
        self.simulator = simulator
        self.batch_cap = _LARGEST_BATCH
        self.varies_pages = False
        self.checks: list[Callable[[Selection], Refusal | None]] = []
        self.covered_lag = timedelta(0)
        self.has_connect = True
        self.cursors: dict[str, Cursor] = {}
        self._numbers = itertools.count(1)
        self._dice = random.Random(2026)

    # --- query -------------------------------------------------------------------------------

    @route("GET", "/services/data/v{version}/query")
    def query(self, call: Call, version: str) -> Answer:
        return self._query(call, version, all_rows=False)

    @route("GET", "/services/data/v{version}/queryAll")
    def query_all(self, call: Call, version: str) -> Answer:
        return self._query(call, version, all_rows=True)

    def _query(self, call: Call, version: str, *, all_rows: bool) -> Answer:
        text = call.query.get("q", "")
        if not text:
            raise Refusal("MALFORMED_QUERY", "A query string has to be specified")
        selection = select(self.simulator.org, text, all_rows=all_rows)
        self.simulator.noted(selection)
        for check in self.checks:
            refusal = check(selection)
            if refusal:
                raise refusal
        if selection.query.is_count:
            total = len(selection.records())
            return Answer.json({"totalSize": total, "done": True, "records": []})
        if selection.query.is_aggregate:
            rows = selection.aggregate()
            return Answer.json({"totalSize": len(rows), "done": True, "records": rows})
        records = selection.records()
        cursor = Cursor(
            call.bearer,
            selection,
            [record["Id"] for record in records],
            len(records),
            self._batch(call, selection),
            version,
        )
        return self._page(cursor, 0)

    def _batch(self, call: Call, selection: Selection) -> int:
        wanted = _LARGEST_BATCH
        for option in call.headers.get("sforce-query-options", "").split(","):
            name, _, value = option.strip().partition("=")
            if name.lower() == "batchsize" and value.strip().isdigit():
                wanted = min(max(int(value), _SMALLEST_BATCH), _LARGEST_BATCH)
        long_texts = [c for c in selection.columns if c.field.kind == "longtextarea"]
        if len(long_texts) >= 2:
            wanted = min(wanted, _LONG_TEXT_BATCH)
        return min(wanted, self.batch_cap)

    @route("GET", "/services/data/v{version}/query/{locator}")
    def query_more(self, call: Call, version: str, locator: str) -> Answer:
        key, _, start = locator.rpartition("-")
        cursor = self.cursors.get(key)
        if cursor is None or not start.isdigit() or cursor.is_expired:
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        if cursor.token != call.bearer:
            # A locator belongs to the session that made it.
            raise SESSION_LOST
        return self._page(cursor, int(start), key)

    def expire_locators(self) -> None:
        for cursor in self.cursors.values():
            cursor.is_expired = True

    def _page(self, cursor: Cursor, start: int, key: str = "") -> Answer:
        size = cursor.batch
        if self.varies_pages:
            size = self._dice.randint(max(1, size // 2), size)
        end = start + size
        render = cursor.selection.renderer(cursor.version)
        shown = [render(record) for record in self._current(cursor, start, end)]
        body: dict[str, Any] = {"totalSize": cursor.total, "done": end >= len(cursor.ids)}
        if not body["done"]:
            if not key:
                key = make_id("01g", next(self._numbers))
                self.cursors[key] = cursor
            body["nextRecordsUrl"] = f"/services/data/v{cursor.version}/query/{key}-{end}"
        body["records"] = shown
        return Answer.json(body)

    def _current(self, cursor: Cursor, start: int, end: int) -> list[Record]:
        records = cursor.selection.source.records
        found = [records.get(identity) for identity in cursor.ids[start:end]]
        return [r for r in found if r is not None and cursor.selection.is_visible(r)]

    # --- what there is -----------------------------------------------------------------------

    @route("GET", "/services/data/v{version}")
    def resources(self, call: Call, version: str) -> Answer:
        names = ("sobjects", "query", "queryAll", "limits", "composite", "jobs")
        return Answer.json({name: f"/services/data/v{version}/{name}" for name in names})

    @route("GET", "/services/data/v{version}/sobjects")
    def objects(self, call: Call, version: str) -> Answer:
        org = self.simulator.org
        seen = [o.summary(version) for name, o in org.objects.items() if org.object(name)]
        return Answer.json({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": seen})

    @route("GET", "/services/data/v{version}/sobjects/{name}/describe")
    def describe(self, call: Call, version: str, name: str) -> Answer:
        org = self.simulator.org
        found = org.object(name)
        if found is None:
            raise NOT_FOUND
        return Answer.json(found.described(org.hidden(found.name), version))

    @route("GET", "/services/data/v{version}/connect/organization")
    def settings(self, call: Call, version: str) -> Answer:
        """The Connect API, unless it is switched off."""
        org = self.simulator.org
        if not self.has_connect:
            raise Refusal("FUNCTIONALITY_NOT_ENABLED", "Connect is not enabled", 403)
        is_multi = org.object("CurrencyType") is not None
        told = {} if is_multi else {"defaultCurrencyIsoCode": org.currency}
        return Answer.json({"orgId": org.id, "features": {"multiCurrency": is_multi, **told}})

    @route("GET", "/services/data/v{version}/limits")
    def limits(self, call: Call, version: str) -> Answer:
        return Answer.json(self.simulator.limits())

    @route("GET", "/services/data/v{version}/limits/recordCount")
    def record_count(self, call: Call, version: str) -> Answer:
        org = self.simulator.org
        wanted = [name for name in call.query.get("sObjects", "").split(",") if name]
        found = [org.object(name) for name in wanted or list(org.objects)]
        counts = [{"count": len(o.records), "name": o.name} for o in found if o and o.records]
        return Answer.json({"sObjects": counts})

    # --- what changed ------------------------------------------------------------------------

    @route("GET", "/services/data/v{version}/sobjects/{name}/deleted")
    def deleted(self, call: Call, version: str, name: str) -> Answer:
        start, end = self._window(call, name, _DELETED_DAYS)
        org = self.simulator.org
        entries = [e for e in org.deletions if e.object.lower() == name.lower()]
        entries = [e for e in entries if start <= e.at < end]
        if org.log_begins is not None:
            entries = [e for e in entries if e.at >= org.log_begins]
        if len(entries) > _LONGEST_IDS:
            raise Refusal("EXCEEDED_ID_LIMIT", "too many records were deleted in this window")
        earliest = org.log_begins or org.now() - timedelta(days=_DELETED_DAYS)
        body = {
            "deletedRecords": [{"id": e.id, "deletedDate": _stamp(e.at)} for e in entries],
            "earliestDateAvailable": _stamp(earliest),
            "latestDateCovered": _stamp(self._covered(end)),
        }
        return Answer.json(body)

    @route("GET", "/services/data/v{version}/sobjects/{name}/updated")
    def updated(self, call: Call, version: str, name: str) -> Answer:
        start, end = self._window(call, name, _UPDATED_DAYS)
        sobject = self.simulator.org.object(name)
        assert sobject is not None
        ids = [
            record["Id"]
            for record in sobject.records.values()
            if start <= record["SystemModstamp"] < end and not record.get("IsDeleted")
        ]
        return Answer.json({"ids": ids, "latestDateCovered": _stamp(self._covered(end))})

    def _covered(self, end: datetime) -> datetime:
        return min(end, self.simulator.org.now() - self.covered_lag).replace(second=0)

    def _window(self, call: Call, name: str, days: int) -> tuple[datetime, datetime]:
        """The window to the minute; seconds are ignored."""
        found = self.simulator.org.object(name)
        if found is None:
            raise NOT_FOUND
        if not found.is_replicateable:
            raise Refusal("INVALID_TYPE_FOR_OPERATION", f"entity type {name} is not replicateable")
        try:
            start, end = (_instant(call.query[key]) for key in ("start", "end"))
        except (KeyError, ValueError):
            raise Refusal("INVALID_REPLICATION_DATE", "start and end have to be instants") from None
        if end <= start:
            raise Refusal("INVALID_REPLICATION_DATE", "endDate must be after startDate")
        if start < self.simulator.org.now() - timedelta(days=days):
            raise Refusal(
                "INVALID_REPLICATION_DATE", f"startDate cannot be more than {days} days ago"
            )
        return start, end

    # --- several calls in one ----------------------------------------------------------------

    @route("POST", "/services/data/v{version}/composite/batch")
    def batch(self, call: Call, version: str) -> Answer:
        requests = _json(call).get("batchRequests", [])
        if not isinstance(requests, list) or not 1 <= len(requests) <= _MAX_DESCRIBES:
            raise Refusal("INVALID_BATCH_REQUEST", f"1 to {_MAX_DESCRIBES} requests are allowed")
        results = [self._one(call, request) for request in requests]
        has_errors = any(result["statusCode"] >= 400 for result in results)
        return Answer.json({"hasErrors": has_errors, "results": results})

    def _one(self, call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
        url = str(request.get("url", "")).removeprefix("/services/data/")
        inner = Call(str(request.get("method", "GET")), f"/services/data/{url}", call.headers, b"")
        if "/composite" in url or "/jobs" in url:
            return {"statusCode": 404, "result": NOT_FOUND.as_json()}
        answer = self.simulator.metered(inner)
        return {"statusCode": answer.status, "result": json.loads(answer.body or b"null")}


def _json(call: Call) -> Mapping[str, Any]:
    try:
        body = call.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal("JSON_PARSER_ERROR", "the body is no JSON object")
    return body


def _instant(text: str) -> datetime:
    """`2026-01-05T08:00:00+00:00`; a plus sign that was sent bare has become a space, and fails."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if at.tzinfo is None:
        raise ValueError(text)
    return at.astimezone(UTC).replace(second=0, microsecond=0)


def _stamp(at: datetime) -> str:
    return at.isoformat()[:19] + ".000+0000"
