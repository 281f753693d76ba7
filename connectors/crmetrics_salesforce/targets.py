"""Quotas and forecasts: what an owner has to sell and expects to, however the org divides it."""

from __future__ import annotations

from crmetrics_salesforce.rates import CURRENCIES
from crmetrics_salesforce.streams import ORG_CURRENCY, Stream

_FORECAST_CATEGORY = (
    "case when {0} ilike 'commit%' then 'commit' when {0} ilike 'best%' then 'best_case' "
    "when {0} ilike 'most%' then 'most_likely' when {0} ilike '%pipeline%' then 'pipeline' end"
)

_STATED = """(
    -- Where parts of a target are stated in several currencies, all are turned into the corporate
    -- one, by the rates without dates: forecasts of Salesforce go by them too.
    with mixed as (
        select QuotaOwnerId, StartDate, PeriodId, ForecastingTypeId, true as is_mixed
        from main
        group by all
        having count(distinct CurrencyIsoCode) > 1
    ),
    rates as (
        select IsoCode, ConversionRate::double as Rate, corporate.code
        from currencies
        join (select IsoCode as code from currencies where IsCorporate) corporate on true
        where ConversionRate::double > 0
    )
    select main.* replace (
        case when is_mixed and Rate <> 1 then QuotaAmount / Rate else QuotaAmount end
            as QuotaAmount,
        case when is_mixed and Rate is not null then rates.code else CurrencyIsoCode end
            as CurrencyIsoCode
    )
    from main
    left join mixed on mixed.QuotaOwnerId = main.QuotaOwnerId
        and mixed.StartDate is not distinct from main.StartDate
        and mixed.PeriodId is not distinct from main.PeriodId
        and mixed.ForecastingTypeId is not distinct from main.ForecastingTypeId
    left join rates on rates.IsoCode = main.CurrencyIsoCode
)"""

_QUOTAS = f"""(
    -- An owner has a quota for each product family or territory: together they are the target.
    -- Rows that differ in any field that is read besides stay apart.
    select min(Id) as Id, sum(QuotaAmount) as QuotaAmount,
        max(SystemModstamp) as SystemModstamp, * exclude (Id, QuotaAmount, SystemModstamp)
    from {_STATED}
    group by all
)"""

_ITEMS = """(
    -- So it is with the items of a forecast.
    select min(Id) as Id, sum(columns('^(ForecastAmount|OwnerOnlyAmount)$')) as "\\0",
        max(SystemModstamp) as SystemModstamp,
        columns(
            lambda c: c not in ('Id', 'ForecastAmount', 'OwnerOnlyAmount', 'SystemModstamp')
        )
    from main
    group by all
)"""

_FORECAST = """
    "ForecastingSubmission.ForecastOwnerId", "ForecastingSubmission.PeriodId",
    "ForecastingSubmission.ForecastingTypeId", ForecastingItemCategory, CurrencyIsoCode"""
_SUBMITTED = f"""(
    -- Each territory is submitted by itself: what an owner expects at an instant is what was last
    -- submitted for each. Types of forecast that are about quantities have no amounts.
    with amounts as (
        -- Of each submission, whose items may be written over the turn of a second.
        select min(Id) as Id, sum(Amount) as Amount, max(CreatedDate) as CreatedDate,
            max(SystemModstamp) as SystemModstamp,
            * exclude (Id, Amount, CreatedDate, SystemModstamp)
        from main
        where not IsDeleted
        group by all
    ),
    money as (
        select *
        from amounts
        qualify count(Amount) over (partition by "ForecastingSubmission.ForecastingTypeId") > 0
    ),
    steps as (
        select *, Amount - coalesce(lag(Amount ignore nulls) over (
            partition by {_FORECAST}, "ForecastingSubmission.Territory2Id"
            order by CreatedDate, Id
        ), 0) as Step
        from money
    )
    select * exclude (Step) replace (sum(Step) over submitted as Amount)
    from steps
    window submitted as (
        partition by {_FORECAST} order by CreatedDate range unbounded preceding
    )
    qualify row_number() over (partition by {_FORECAST}, CreatedDate order by Id) = 1
)"""


def _doubts(
    what: str,
    kpi: str,
    owner: str,
    time: str,
    kind: str,
    *,
    where: str = "true",
    rows: str = "main",
) -> str:
    """SQL that tells of rows for the same owner and time that are never added.

    what, kpi: words for the sentences. time: what tells periods apart. kind: the forecast type.
    """
    return f"""
    with several as (
        select "{owner}" as owner, min("{kind}") as one, max("{kind}") as other
        from {rows}
        where {where}
        group by "{owner}", {time}
        having count(distinct "{kind}") > 1
    ),
    currencies as (
        select "{owner}" as owner, min(CurrencyIsoCode) as one, max(CurrencyIsoCode) as other
        from {rows}
        where {where}
        group by "{owner}", {time}, "{kind}"
        having count(distinct CurrencyIsoCode) > 1
    )
    select format(
        '{what} of more than one forecast type are stated for the same time, for {{}} owners: '
        '{kpi} is measured against one of them only, which may be the wrong one. Choose the '
        'type that won deals count towards, where: "{kind} = {{}}{{}}{{}}" (or {{}}).',
        count(distinct owner), chr(39), min(one), chr(39), max(other)
    )
    from several
    having count(*) > 0
    union all
    select format(
        '{what} in more than one currency are stated for the same time, for {{}} owners '
        '(such as {{}} and {{}}): they are not added, and {kpi} is measured against those in one '
        'currency only. State them in one currency.',
        count(distinct owner), min(one), max(other)
    )
    from currencies
    having count(*) > 0"""


TARGET_STREAMS: tuple[Stream, ...] = (
    Stream(
        "quotas",
        "ForecastingQuota",
        {
            "id": "Id",
            "owner_id": "QuotaOwnerId",
            "kpi_id": "case when IsAmount then 'won_amount' end",
            "period_start": ('coalesce("Period.StartDate", StartDate)', "StartDate"),
            "period_end": '"Period.EndDate" + 1',
            "target_amount": "QuotaAmount",
            "currency": ("CurrencyIsoCode", ORG_CURRENCY),
        },
        where="IsAmount = true",
        relation=_QUOTAS,
        base=(
            "Id",
            "QuotaOwnerId",
            "QuotaAmount",
            "StartDate",
            "PeriodId",
            "ForecastingTypeId",
            "SystemModstamp",
        ),
        companions=(CURRENCIES,),
        if_shown=("CurrencyIsoCode",),
        doubts=_doubts(
            "quotas",
            "attainment",
            "QuotaOwnerId",
            "StartDate, case when StartDate is null then PeriodId end",
            "ForecastingTypeId",
            rows=_STATED,
        ),
        removals="none",
    ),
    Stream(
        "forecasts",
        "ForecastingSubmissionItem",
        {
            "id": "Id",
            "is_deleted": "IsDeleted",
            "owner_id": '"ForecastingSubmission.ForecastOwnerId"',
            "period_start": '"ForecastingSubmission.Period.StartDate"',
            "period_end": '"ForecastingSubmission.Period.EndDate" + 1',
            "submitted_at": "CreatedDate",
            "forecast_category": _FORECAST_CATEGORY.format("ForecastingItemCategory"),
            "forecast_amount": "Amount",
            "currency": ("CurrencyIsoCode", ORG_CURRENCY),
        },
        relation=_SUBMITTED,
        base=(
            "Id",
            "Amount",
            "CreatedDate",
            "IsDeleted",
            "ForecastingItemCategory",
            "ForecastingSubmissionId",
            "ForecastingSubmission.ForecastOwnerId",
            "ForecastingSubmission.PeriodId",
            "SystemModstamp",
        ),
        if_shown=(
            "CurrencyIsoCode",
            "ForecastingSubmission.ForecastingTypeId",
            "ForecastingSubmission.Territory2Id",
        ),
        doubts=_doubts(
            "forecasts",
            "forecast accuracy",
            "ForecastingSubmission.ForecastOwnerId",
            '"ForecastingSubmission.PeriodId"',
            "ForecastingSubmission.ForecastingTypeId",
            where="not IsDeleted and Amount is not null",
        ),
    ),
    Stream(
        "forecasts",
        "ForecastingItem",
        {
            # Shows the present only: a row of each day is kept.
            "id": "Id || ':' || strftime(now(), '%Y-%m-%d')",
            "owner_id": "OwnerId",
            "period_start": '"Period.StartDate"',
            "period_end": '"Period.EndDate" + 1',
            "submitted_at": "now()",
            "forecast_category": _FORECAST_CATEGORY.format("ForecastCategoryName"),
            "forecast_amount": ("OwnerOnlyAmount", "ForecastAmount"),
            "currency": ("CurrencyIsoCode", ORG_CURRENCY),
        },
        instead_of="ForecastingSubmissionItem",
        where="IsAmount = true",
        relation=_ITEMS,
        base=(
            "Id",
            "OwnerId",
            "PeriodId",
            "ForecastingTypeId",
            "ForecastCategoryName",
            "ForecastAmount",
            "SystemModstamp",
        ),
        if_shown=("CurrencyIsoCode", "ForecastingItemCategory"),
        doubts=_doubts(
            "forecasts", "forecast accuracy", "OwnerId", "PeriodId", "ForecastingTypeId"
        ),
        removals="none",
        forgets=True,
    ),
)
