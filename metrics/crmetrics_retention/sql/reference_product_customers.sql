-- The rows of reference_customers per product of the customer.
select c.period_start, c.source, c.account_id, c.product_id, a.is_referenceable, a.updated_at
from active_product_accounts c
left join live_accounts a on a.source = c.source and a.id = c.account_id
where c.closing_active
