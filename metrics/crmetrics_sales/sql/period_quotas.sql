-- materialized
-- One row per period and quota for won_amount that lies wholly inside the period; of overlapping
-- quotas of one owner the longest (then the first id) stays. Owner null = the company, else source
-- is that of the owner. target_amount is null where the rate is missing. is_counted: a quota of the
-- company if the period has one, else one of an owner. is_targeted: those of its owner are not 0.
with inside as (
  select
    p.period_start,
    p.reading_day,
    p.snapshot_day,
    q.id,
    case when q.owner_id is not null then source_of_users(q.source, q.owner_id) end as source,
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
select
  a.*,
  a.quota_end - a.quota_start as quota_days,
  greatest(least(a.reading_day, a.quota_end) - a.quota_start, 0) as elapsed_days,
  (a.owner_id is null)
    = (a.period_start in (select period_start from inside where owner_id is null)) as is_counted,
  sum(a.target_amount) over (partition by a.period_start, a.source, a.owner_id)
    is distinct from 0 as is_targeted
from inside a
where not exists (
  select 1
  from inside b
  where b.period_start = a.period_start
    and b.source is not distinct from a.source
    and b.owner_id is not distinct from a.owner_id
    and b.quota_start < a.quota_end
    and a.quota_start < b.quota_end
    and (
      b.quota_end - b.quota_start > a.quota_end - a.quota_start
      or (b.quota_end - b.quota_start = a.quota_end - a.quota_start and b.id < a.id)
    )
)
