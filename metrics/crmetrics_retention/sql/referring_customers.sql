-- One row per period and customer at its snapshot: did it refer a lead created in the period?
select c.period_start, c.source, c.account_id, r.account_id is not null as has_referred
from active_accounts c
left join referring_accounts r
  on r.period_start = c.period_start and r.source = c.source and r.account_id = c.account_id
where c.closing_active
