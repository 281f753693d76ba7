-- The rows of plain_segments with the family of the product.
with segments as (
  select
    source_of_accounts(s.source, s.account_id) as source,
    s.account_id, p.family, s.start_date, s.end_date, s.mrr
  from live_subscriptions s
  left join live_products p
    on p.source = source_of_products(s.source, s.product_id) and p.id = s.product_id
  where not s.is_trial
)
select s.*
from segments s
anti join foreign_payers f
  on f.source is not distinct from s.source and f.account_id is not distinct from s.account_id
