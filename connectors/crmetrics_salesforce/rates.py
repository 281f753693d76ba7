"""Exchange rates: dated ones, or those of today where the org keeps no others."""

from __future__ import annotations

from crmetrics_salesforce.streams import Companion, Extra, Stream

CURRENCIES = Companion(
    "currencies", "CurrencyType", ("Id", "IsoCode", "ConversionRate", "IsCorporate")
)

_CROSS_RATES = """(
    -- Units of a currency for one unit of the corporate one; asked is the reporting currency.
    with stated as (
        select IsoCode, {day} as StartDate, ConversionRate from main
        union all
        select IsoCode, date '1900-01-01', 1.0 from currencies where IsCorporate
    ),
    reporting_rates as (
        select stated.* from stated join reporting on stated.IsoCode = reporting.currency
    ),
    moments as (
        select IsoCode, StartDate from stated
        union
        select known.IsoCode, r.StartDate
        from (select IsoCode, min(StartDate) as first_day from stated group by IsoCode) known
        join reporting_rates r on r.StartDate > known.first_day
    ),
    own as (
        select moments.*, stated.ConversionRate as OwnRate
        from moments asof join stated
        on stated.IsoCode = moments.IsoCode and stated.StartDate <= moments.StartDate
    )
    select own.IsoCode, own.StartDate, r.ConversionRate / own.OwnRate as Rate
    from own asof join (select 1 as one, * from reporting_rates) r
    on r.one = 1 and r.StartDate <= own.StartDate
    where own.IsoCode not in (select currency from reporting)
)"""

_FIELDS = {"currency": "IsoCode", "valid_from": "StartDate", "rate": "Rate"}

RATE_STREAMS: tuple[Stream, ...] = (
    Stream(
        "exchange_rates",
        "DatedConversionRate",
        _FIELDS,
        relation=_CROSS_RATES.format(day="StartDate"),
        base=("Id", "IsoCode", "StartDate", "ConversionRate"),
        companions=(CURRENCIES,),
        extras={"Rate": Extra("")},
        removals="none",
    ),
    Stream(
        "exchange_rates",
        "CurrencyType",
        _FIELDS,
        relation=_CROSS_RATES.format(day="date '1900-01-01'"),
        base=("Id", "IsoCode", "ConversionRate"),
        companions=(CURRENCIES,),
        extras={"Rate": Extra(""), "StartDate": Extra("")},
        instead_of="DatedConversionRate",
        where="IsCorporate = false",
        removals="none",
    ),
)
