-- One row per period and account that was lost at its opening, the last spell having ended in the 365
-- days before: did it come back, and on which day first?
-- excluded: customers
with former as (
  select
    h.period_start,
    p.snapshot_day,
    h.source,
    h.account_id,
    h.opening_until as lost_on,
    h.closing_began >= h.period_start as is_back
  from customer_pasts h
  join periods p on p.period_start = h.period_start
  where h.opening_until < h.period_start
    and h.opening_until >= h.period_start - 365
),
returns as (
  select f.period_start, f.source, f.account_id, min(s.start_date) as back_on
  from former f
  join customer_cover s on s.source = f.source and s.account_id = f.account_id
  where f.is_back
    and s.start_date >= f.period_start
    and s.start_date <= f.snapshot_day
  group by all
),
stays as (
  select distinct r.period_start, r.source, r.account_id
  from returns r
  join customer_cover s
    on s.source = r.source and s.account_id = r.account_id
    and s.start_date <= r.back_on + $window_days
    and (s.end_date is null or s.end_date > r.back_on + $window_days)
)
select
  f.period_start,
  f.source,
  f.account_id,
  f.lost_on,
  datesub('month', f.lost_on, f.period_start) as months_since_loss,
  f.is_back,
  s.account_id is not null as is_still_active
from former f
left join stays s
  on s.period_start = f.period_start and s.source = f.source and s.account_id = f.account_id
