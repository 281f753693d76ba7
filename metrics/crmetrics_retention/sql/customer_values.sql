-- One row per period and customer at its snapshot: recurring revenue, at the rate of that day.
-- is_unrated: every active segment lacks a rate.
select
  c.period_start,
  c.source,
  c.account_id,
  m.closing_mrr as mrr,
  m.closing_mrr is null and m.closing_unrated is not null as is_unrated,
  coalesce(m.closing_unrated, 0) as unrated
from active_accounts c
left join account_mrr_by_day m
  on m.period_start = c.period_start and m.source = c.source and m.account_id = c.account_id
where c.closing_active
