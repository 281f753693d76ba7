-- materialized
-- One row per period, rated quota and deal in the days of the quota that counts towards it: won (at
-- the rate of the close date), or open and expected to close from as_of on (at the rate of the
-- snapshot day). is_company: towards the company's quota, else towards that of the deal's owner.
with deals as (
  select *, source_of_users(source, owner_id) as owner_source
  from live_opportunities
  where is_won or (not is_closed and close_date >= $as_of_day)
),
quotas as (
  select period_start, source, owner_id, quota_start, quota_end
  from period_quotas
  where target_amount is not null
),
-- By day and not by the range of days: a join on equal days is a tenth of one on a range.
quota_days as (
  select
    quota_start,
    quota_end,
    unnest(generate_series(quota_start, quota_end - 1, interval 1 day))::date as day
  from (select distinct quota_start, quota_end from quotas)
),
dated as (
  select d.*, q.quota_start, q.quota_end
  from deals d
  join quota_days q on q.day = d.close_date
),
counted as (
  select q.period_start, true as is_company, d.*
  from quotas q
  join dated d on d.quota_start = q.quota_start and d.quota_end = q.quota_end
  where q.owner_id is null
  union all
  select q.period_start, false, d.*
  from quotas q
  join dated d
    on d.owner_source = q.source and d.owner_id = q.owner_id
    and d.quota_start = q.quota_start and d.quota_end = q.quota_end
)
select
  d.period_start,
  d.is_company,
  d.source,
  d.owner_source,
  d.owner_id,
  d.account_id,
  d.is_won,
  case
    when not d.is_won then null
    when d.currency is null or d.currency = $reporting_currency then d.amount::decimal(28, 10)
    else (d.amount * won.rate)::decimal(28, 10)
  end as won_amount,
  case
    when d.is_won then null
    when d.currency is null or d.currency = $reporting_currency then d.amount::decimal(28, 10)
    else (d.amount * opened.rate)::decimal(28, 10)
  end as open_amount,
  d.probability,
  (d.amount is null)::int as missing_amount,
  (
    d.amount is not null and d.currency <> $reporting_currency
    and case when d.is_won then won.rate else opened.rate end is null
  )::int as missing_rate
from counted d
join periods p on p.period_start = d.period_start
left join rates_by_day won on won.currency = d.currency and won.day = d.close_date
left join rates_by_day opened on opened.currency = d.currency and opened.day = p.snapshot_day
