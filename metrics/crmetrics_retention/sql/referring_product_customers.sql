-- The rows of referring_customers per product of the customer.
select c.period_start, c.source, c.account_id, c.product_id, r.account_id is not null as has_referred
from active_product_accounts c
left join referring_accounts r
  on r.period_start = c.period_start and r.source = c.source and r.account_id = c.account_id
where c.closing_active
