-- materialized
-- One row per period, rated quota and deal in the days of the quota that counts towards it: won (at
-- the rate of the close date), or open and expected to close from as_of on (at the rate of the
-- snapshot day). is_company: towards the company's quota, else towards that of the deal's owner.
with quotas as (
  select
    period_start, snapshot_day, source, owner_id, quota_start, quota_end, is_counted, is_targeted
  from period_quotas
  where target_amount is not null
),
-- By day and not by the range of days: a join on equal days is a tenth of one on a range.
quota_days as (
  select
    quota_start,
    quota_end,
    unnest(generate_series(quota_start, quota_end - 1, interval 1 day))::date as close_date
  from (select distinct quota_start, quota_end from quotas)
),
deals as (
  select
    source, owner_id, account_id, is_won, close_date, amount, currency, probability,
    quota_start, quota_end,
    source_of_users(source, owner_id) as owner_source
  from live_opportunities
  join quota_days using (close_date)
  where is_won or (not is_closed and close_date >= $as_of_day)
),
counted as (
  select q.period_start, q.snapshot_day, q.is_counted, q.is_targeted, true as is_company, d.*
  from quotas q
  join deals d using (quota_start, quota_end)
  where q.owner_id is null
  union all
  select q.period_start, q.snapshot_day, q.is_counted, q.is_targeted, false, d.*
  from quotas q
  join deals d
    on d.owner_source = q.source and d.owner_id = q.owner_id
    and d.quota_start = q.quota_start and d.quota_end = q.quota_end
),
rated as (
  select
    d.*,
    case
      when d.currency is null or d.currency = $reporting_currency then d.amount::decimal(28, 10)
      else (d.amount * r.rate)::decimal(28, 10)
    end as rated_amount
  from counted d
  left join rates_by_day r
    on r.currency = d.currency
    and r.day = case when d.is_won then d.close_date else d.snapshot_day end
)
select
  period_start,
  is_company,
  is_counted,
  is_targeted,
  source,
  owner_source,
  owner_id,
  account_id,
  is_won,
  case when is_won then rated_amount end as won_amount,
  case when not is_won then rated_amount end as open_amount,
  probability,
  (amount is null)::int as missing_amount,
  (amount is not null and rated_amount is null)::int as missing_rate
from rated
