"""Exchange rates into the reporting currency, by day."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from crmetrics.plugin import ReadRequest, SourceError
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.tables import batches_of
from crmetrics_hubspot.values import instant_of, number_of

Rate = tuple[str, str, float]
"""Currency, first day, and what one of it is worth in company currency."""


def read_rates(account: Account, request: ReadRequest, reporting: str) -> Iterator[Any]:
    """The account's rates; HubSpot states them from the foreign to the company currency.

    With another reporting currency they are crossed with its own rate of the day.
    Raises SourceError when the account has no rate for the reporting currency.
    """
    rates, odd = _rates(account)
    if odd:
        request.notice(
            f"exchange_rates: {odd} rates of the account are no positive numbers or have no usable "
            "instant; they are left out."
        )
    company = account.currency
    if company and reporting != company:
        rates = _crossed(rates, company, reporting)
    rows = ({"currency": c, "valid_from": day, "rate": str(rate)} for c, day, rate in rates)
    yield from batches_of(request, rows)


def _rates(account: Account) -> tuple[list[Rate], int]:
    """The latest rate of each day, by currency and day, and how many cannot be used.

    Those into other currencies than the company's are no use.
    """
    found: dict[tuple[str, str], tuple[datetime, float]] = {}
    odd = 0
    for item in account.api.items("currencies", "exchange-rates", params={"limit": "100"}):
        if item.get("toCurrencyCode") != account.currency:
            continue
        at, rate = instant_of(item.get("effectiveAt")), number_of(item.get("conversionRate"))
        if at is None or rate is None or rate <= 0:
            odd += 1
            continue
        key = str(item["fromCurrencyCode"]), at.date().isoformat()
        if key not in found or at >= found[key][0]:
            found[key] = (at, rate)
    return sorted((currency, day, rate) for (currency, day), (_, rate) in found.items()), odd


def _crossed(rates: Sequence[Rate], company: str, reporting: str) -> list[Rate]:
    own = [(day, rate) for currency, day, rate in rates if currency == reporting]
    if not own:
        raise SourceError(
            f"the account's currency is {company}, the reporting currency {reporting}, and HubSpot "
            f"has no rate between them. Add {reporting} to the account's currencies, report in "
            f"{company}, or give exchange_rates by a file."
        )
    days = [day for day, _ in own]
    found = [(company, day, 1 / rate) for day, rate in own]
    others = sorted({currency for currency, _, _ in rates} - {reporting})
    for currency in others:
        mine = [(day, rate) for c, day, rate in rates if c == currency]
        starts = [day for day, _ in mine]
        for day in sorted({*days, *starts}):
            base, other = bisect_right(days, day), bisect_right(starts, day)
            if base and other:
                found.append((currency, day, mine[other - 1][1] / own[base - 1][1]))
    return found
