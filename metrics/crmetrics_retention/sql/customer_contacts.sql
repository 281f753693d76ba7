-- One row per period and customer at its snapshot: days since the last touch, null = never touched.
-- excluded: customers
select
  c.period_start,
  c.source,
  c.account_id,
  (epoch_us(p.snapshot_at) - epoch_us(t.closing_touched_at)) / 86400e6 as days
from active_accounts c
join periods p on p.period_start = c.period_start
left join account_touches t
  on t.period_start = c.period_start and t.source = c.source and t.account_id = c.account_id
where c.closing_active
