"""The endpoints about the account: properties, pipelines, owners, currencies, activity."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import Any

from simulators.hubspot.account import Account
from simulators.hubspot.errors import invalid, not_found
from simulators.hubspot.limits import Limits
from simulators.hubspot.records import ObjectStore, iso
from simulators.hubspot.search import instant_of
from simulators.messages import Answer, Call

LARGEST_PAGE = 500


class SettingsEndpoints:
    """Answers about the account itself."""

    def __init__(self, account: Account, limits: Limits) -> None:
        self.account = account
        self.limits = limits

    def answer(self, call: Call, area: str, rest: list[str]) -> Answer:
        if call.method != "GET":
            raise not_found()
        match area, rest:
            case "owners", []:
                return Answer.json(self._owners(call))
            case "schemas", []:
                return Answer.json({"results": self._schemas()})
            case "account", ["details"]:
                return Answer.json(self._details())
            case "account", ["api-usage", "daily", "private-apps"]:
                return Answer.json({"results": [self._usage()]})
            case "currencies", ["exchange-rates"]:
                return Answer.json(self._rates(call))
            case "currencies", ["company-currency"]:
                return Answer.json({"currencyCode": self.account.currency, "id": "1"})
        raise not_found()

    def properties(self, call: Call, store: ObjectStore) -> Answer:
        wanted = call.query.get("dataSensitivity", "non_sensitive") == "sensitive"
        found = [p.as_json() for p in store.properties.values() if p.is_sensitive == wanted]
        return Answer.json({"results": found})

    def pipelines(self, store: ObjectStore) -> Answer:
        found = self.account.pipelines.get(store.name, [])
        return Answer.json({"results": [p.as_json(n) for n, p in enumerate(found)]})

    def activity(self, call: Call, kind: str) -> Answer:
        rows = self._logins() if kind == "login" else self.account.audit_logs
        return Answer.json(page_of(call, rows, 100))

    def _logins(self) -> list[dict[str, Any]]:
        """HubSpot forgets them after 90 days."""
        if self.account.login_days is None:
            return self.account.logins
        first = self.account.clock() - timedelta(days=self.account.login_days)
        return [row for row in self.account.logins if instant_of(row["loginAt"]) >= first]

    def _owners(self, call: Call) -> dict[str, Any]:
        archived = call.query.get("archived", "false") == "true"
        found = [o.as_json() for o in self.account.owners.values() if o.is_archived == archived]
        return page_of(call, found, LARGEST_PAGE)

    def _schemas(self) -> list[dict[str, Any]]:
        return [
            {
                "id": store.type_id.partition("-")[2],
                "name": store.name,
                "objectTypeId": store.type_id,
                "fullyQualifiedName": f"p{self.account.portal_id}_{store.name}",
                "labels": {"singular": store.name, "plural": store.name},
                "archived": False,
            }
            for store in self.account.objects.values()
            if store.type_id.startswith("2-")
        ]

    def _details(self) -> dict[str, Any]:
        return {
            "portalId": self.account.portal_id,
            "accountType": "STANDARD",
            "timeZone": self.account.time_zone,
            "companyCurrency": self.account.currency,
            "additionalCurrencies": sorted({rate[0] for rate in self.account.rates}),
            "utcOffset": "-05:00",
            "utcOffsetMilliseconds": -18_000_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }

    def _usage(self) -> dict[str, Any]:
        now = self.account.clock()
        return {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.limits.per_day,
            "currentUsage": self.limits.sent_today,
            "collectedAt": iso(now),
            "fetchStatus": "SUCCESS",
            "resetsAt": iso(now.replace(hour=23, minute=59, second=59, microsecond=0)),
        }

    def _rates(self, call: Call) -> dict[str, Any]:
        rows = [
            {
                "id": str(number),
                "fromCurrencyCode": one,
                "toCurrencyCode": other,
                "conversionRate": rate,
                "effectiveAt": iso(at),
                "createdAt": iso(at),
                "updatedAt": iso(at),
                "visibleInUI": True,
            }
            for number, (one, other, rate, at) in enumerate(self.account.rates, start=1)
        ]
        return page_of(call, rows, 100)


def page_of(call: Call, rows: list[Any], largest: int) -> dict[str, Any]:
    """A page of rows; `after` is the number of rows before it, told in letters."""
    limit, after = call.query.get("limit", "100"), call.query.get("after") or "p0"
    if not limit.isdigit() or not 1 <= int(limit) <= largest:
        raise invalid(f"limit must be between 1 and {largest}")
    if not after.startswith("p") or not after[1:].isdigit():
        raise invalid(f"Invalid paging token {after}")
    start, end = int(after[1:]), int(after[1:]) + int(limit)
    body: dict[str, Any] = {"results": list(islice(rows, start, end))}
    if end < len(rows):
        body["paging"] = {"next": {"after": f"p{end}", "link": "https://elsewhere.invalid"}}
    return body
