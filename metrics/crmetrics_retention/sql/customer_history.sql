-- One row per span of days as a customer; once begun it is never forgotten. end_date is infinity
-- while it is open.
select
  source,
  account_id,
  start_date,
  coalesce(end_date, date 'infinity') as end_date,
  null::date as never
from customer_cover
