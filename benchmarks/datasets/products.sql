select
  record_id('01t', i) as id,
  false as is_deleted,
  false as is_test,
  at_day(0) as updated_at,
  'Product ' || i as name,
  'Family ' || (i % 4) as family,
  (1 + i // 4)::bigint as tier_rank,
  (100 + 35 * i)::decimal(18, 4) as unit_cost,
  'USD' as currency
from range(12) r(i)
order by i
