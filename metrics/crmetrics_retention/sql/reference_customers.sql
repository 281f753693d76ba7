-- One row per period and customer at its snapshot: would it speak for us? (null = never asked)
-- excluded: customers
select c.period_start, c.source, c.account_id, a.is_referenceable, a.updated_at
from active_accounts c
left join live_accounts a on a.source = c.source and a.id = c.account_id
where c.closing_active
