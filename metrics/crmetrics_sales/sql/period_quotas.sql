-- One row per period and quota for won_amount that lies wholly inside the period; of overlapping
-- quotas of one owner the longest (then the first id) stays. Owner null = the company.
with inside as (
  select
    p.period_start,
    q.id,
    q.owner_id,
    q.period_start as quota_start,
    q.period_end as quota_end,
    case
      when q.currency is null or q.currency = $reporting_currency
        then q.target_amount::decimal(28, 10)
      else (q.target_amount * r.rate)::decimal(28, 10)
    end as target_amount
  from live_quotas q
  join periods p on q.period_start >= p.period_start and q.period_end <= p.period_end
  left join rates_by_day r on r.currency = q.currency and r.day = q.period_start
  where q.kpi_id = 'won_amount'
)
select a.*
from inside a
where not exists (
  select 1
  from inside b
  where b.period_start = a.period_start
    and b.owner_id is not distinct from a.owner_id
    and b.quota_start < a.quota_end
    and a.quota_start < b.quota_end
    and (
      b.quota_end - b.quota_start > a.quota_end - a.quota_start
      or (b.quota_end - b.quota_start = a.quota_end - a.quota_start and b.id < a.id)
    )
)
