"""The object endpoints: list, one, batch read, search; associations."""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from typing import Any

from simulators.hubspot.account import Account
from simulators.hubspot.errors import correlation_id, invalid, not_found
from simulators.hubspot.records import ObjectStore, Record, iso
from simulators.hubspot.search import SearchIndex
from simulators.messages import Answer, Call

INLINE_SHOWN = 3
LARGEST_PAGE, LARGEST_PAGE_WITH_HISTORY = 100, 50
LARGEST_BATCH, LARGEST_BATCH_WITH_HISTORY = 100, 50
MOST_VERSIONS = 20
MOST_ASSOCIATIONS_READ = 1_000
_WRONG_HOST = "https://elsewhere.invalid"


class CrmEndpoints:
    """Answers about the objects of an account.

    to_page: associations of one record on a page of the batch read. page_cap: pages of lists are no
    longer than this, whatever is asked for.
    """

    def __init__(self, account: Account, index: SearchIndex) -> None:
        self.account = account
        self.index = index
        self.to_page = 500
        self.page_cap: int | None = None
        self._dice = random.Random(1)
        self._addressed: tuple[int, dict[str, Record]] = (-1, {})

    def store(self, name: str) -> ObjectStore:
        store = self.account.store(name)
        if store is None:
            raise not_found(f"Unable to infer object type from: {name}")
        return store

    # --- objects -----------------------------------------------------------------------------

    def objects(self, call: Call, store: ObjectStore, rest: list[str]) -> Answer:
        match (call.method, rest):
            case ("GET", []):
                return Answer.json(self._list(call, store))
            case ("POST", ["search"]):
                return Answer.json(self.index.answer(store, _body(call), self.account.clock()))
            case ("POST", ["batch", "read"]):
                return self._batch(call, store)
            case ("GET", [record_id]):
                record = store.find(record_id)
                if record is None:
                    raise not_found()
                return Answer.json(self._shown(call.query, store, record))
        raise not_found()

    def _list(self, call: Call, store: ObjectStore) -> dict[str, Any]:
        asked = call.query
        most = LARGEST_PAGE_WITH_HISTORY if asked.get("propertiesWithHistory") else LARGEST_PAGE
        limit = _number(asked.get("limit", "10"), "limit")
        if not 1 <= limit <= most:
            raise invalid(f"limit must be between 1 and {most}")
        limit = min(limit, self.page_cap or limit)
        archived = asked.get("archived", "false") == "true"
        after = _opened(asked["after"]) if asked.get("after") else 0
        found = list(islice(store.walk(after, archived=archived), limit + 1))
        page = found[:limit]
        body: dict[str, Any] = {"results": [self._shown(asked, store, r) for r in page]}
        if len(found) > limit:
            token = _sealed(page[-1].number)
            link = f"{_WRONG_HOST}/crm/objects?after={token}"
            body["paging"] = {"next": {"after": token, "link": link}}
        return body

    def _shown(self, asked: dict[str, str], store: ObjectStore, record: Record) -> dict[str, Any]:
        shown = _envelope(store, record, _names(asked.get("properties")))
        history = _names(asked.get("propertiesWithHistory"))
        if history:
            shown["propertiesWithHistory"] = _history(store, record, history)
        targets = _names(asked.get("associations"))
        found = {name: self._inline(store, record, name) for name in targets}
        if any(found.values()):
            shown["associations"] = {name: ties for name, ties in found.items() if ties}
        return shown

    def _inline(self, store: ObjectStore, record: Record, name: str) -> dict[str, Any]:
        """Associations beside a record: cut off, and a pair again for each of its labels."""
        other = self.store(name)
        ties = self.account.links.get((store.name, other.name), {}).get(record.id, [])
        if not ties:
            return {}
        shown: dict[str, Any] = {
            "results": [
                {"id": target, "type": f"{store.name}_to_{other.name}{label[1] or ''}"}
                for target, label in ties[:INLINE_SHOWN]
            ]
        }
        if len(ties) > INLINE_SHOWN:
            shown["paging"] = {"next": {"after": _sealed(INLINE_SHOWN), "link": _WRONG_HOST}}
        return shown

    def _batch(self, call: Call, store: ObjectStore) -> Answer:
        asked = _body(call)
        inputs, history = asked.get("inputs", []), asked.get("propertiesWithHistory") or []
        most = LARGEST_BATCH_WITH_HISTORY if history else LARGEST_BATCH
        if len(inputs) > most:
            raise invalid(f"at most {most} inputs in a batch")
        archived = call.query.get("archived") == "true"
        found: dict[str, Record] = {}
        missing = []
        find = self._finder(store, asked.get("idProperty"))
        for item in inputs:
            record = find(item["id"])
            if record is None or (record.archived_at is not None) != archived:
                missing.append(item["id"])
            else:
                found[record.id] = record
        results = []
        for record in found.values():
            shown = _envelope(store, record, asked.get("properties") or ())
            if history:
                shown["propertiesWithHistory"] = _history(store, record, history)
            results.append(shown)
        self._dice.shuffle(results)
        return _batched(results, _missing(store, missing), self.account.clock())

    def _finder(self, store: ObjectStore, name: str | None) -> Callable[[str], Record | None]:
        """How the ids of a batch are told. By address HubSpot finds the contact whose first one it
        is; whether it finds further ones too is not known."""
        if not name:
            return store.find
        if (store.name, name) != ("contacts", "email"):
            raise invalid(f"Unable to read by the non-unique property {name}")
        if self._addressed[0] != store.version:
            addresses = {
                (record.properties.get("email") or "").lower(): record
                for record in sorted(
                    store.records.values(), key=lambda record: record.archived_at is None
                )
            }
            self._addressed = store.version, addresses
        return lambda address: self._addressed[1].get(address.lower())

    # --- associations ------------------------------------------------------------------------

    def associations(self, call: Call, one: ObjectStore, other: ObjectStore) -> Answer:
        inputs = _body(call).get("inputs", [])
        if len(inputs) > MOST_ASSOCIATIONS_READ:
            raise invalid(f"at most {MOST_ASSOCIATIONS_READ} inputs")
        ties = self.account.links.get((one.name, other.name), {})
        results, alone = [], []
        for item in inputs:
            found = _grouped(ties.get(item["id"], []))
            start = _opened(item["after"]) if item.get("after") else 0
            if not found:
                alone.append(item["id"])
                continue
            entry: dict[str, Any] = {
                "from": {"id": item["id"]},
                "to": found[start : start + self.to_page],
            }
            if start + self.to_page < len(found):
                entry["paging"] = {"next": {"after": _sealed(start + self.to_page)}}
            results.append(entry)
        return _batched(results, _unassociated(one, alone), self.account.clock())


# --- bodies -----------------------------------------------------------------------------------


def _envelope(store: ObjectStore, record: Record, names: Iterable[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": record.id,
        "properties": store.shown(record, names),
        "createdAt": record.properties[store.created],
        "updatedAt": record.properties[store.cursor],
        "archived": record.archived_at is not None,
    }
    if record.archived_at is not None:
        shown["archivedAt"] = iso(record.archived_at)
    return shown


def _history(store: ObjectStore, record: Record, names: Iterable[str]) -> dict[str, Any]:
    return {
        name: [
            {"value": value, "timestamp": iso(at), "sourceType": source, "sourceId": "userId:1"}
            for value, at, source in record.history.get(name, [])[:MOST_VERSIONS]
        ]
        for name in names
        if name in store.properties
    }


def _grouped(ties: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """One entry per record at the other end, with all its labels."""
    found: dict[str, list[dict[str, Any]]] = {}
    for target, (type_id, label) in ties:
        category = "HUBSPOT_DEFINED" if type_id < 10_000 else "USER_DEFINED"
        kind = {"category": category, "typeId": type_id, "label": label}
        found.setdefault(target, []).append(kind)
    # An older form of the answer: ids as numbers.
    return [
        {"toObjectId": int(target), "associationTypes": kinds} for target, kinds in found.items()
    ]


def _missing(store: ObjectStore, ids: list[str]) -> list[dict[str, Any]]:
    if not ids:
        return []
    message = (
        f"Could not get some {store.name.upper()} objects, they may be deleted or not exist. "
        "Check that ids are valid."
    )
    return [
        {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": message,
            "context": {"ids": ids},
        }
    ]


def _unassociated(store: ObjectStore, ids: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "message": f"No {store.name} is associated with {name}.",
            "context": {"fromObjectId": [name]},
        }
        for name in ids
    ]


def _batched(results: list[Any], errors: list[Any], now: datetime) -> Answer:
    body = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": iso(now),
        "completedAt": iso(now),
    }
    if not errors:
        return Answer.json(body)
    numbers = {"numErrors": len(errors), "errors": errors}
    return Answer.json({**body, **numbers}, 207, {"x-hubspot-correlation-id": correlation_id()})


# --- parameters -------------------------------------------------------------------------------


def _body(call: Call) -> Any:
    if call.content_type != "application/json":
        raise invalid("Unsupported Media Type")
    try:
        return call.json()
    except ValueError:
        raise invalid("Invalid input JSON") from None


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]


def _number(text: str, name: str) -> int:
    if not text.isdigit():
        raise invalid(f"{name} must be a number")
    return int(text)


def _sealed(position: int) -> str:
    """An opaque token: nobody may compute the next one."""
    return base64.urlsafe_b64encode(f"at:{position * 7}".encode()).decode().rstrip("=")


def _opened(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        return int(text.removeprefix("at:")) // 7
    except (binascii.Error, ValueError):
        raise invalid(f"Invalid paging token {token}") from None
