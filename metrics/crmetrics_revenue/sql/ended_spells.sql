-- One row per period and customer spell that had ended by its snapshot day, with its length.
select
  p.period_start,
  c.source,
  c.account_id,
  (c.end_date - c.start_date) / 365.25 as years
from customer_spells c
join periods p on c.end_date <= p.snapshot_day
