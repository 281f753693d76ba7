-- The rows of cohort_members per product that the account bought on its first customer day: is
-- it a customer of that product on the measuring day?
-- excluded: customers
with members as (
  select distinct d.period_start, f.source, f.account_id, s.product_id
  from customer_first_days f
  join period_days d on d.day = f.first_day
  left join customer_product_cover s
    on s.source = f.source and s.account_id = f.account_id and s.start_date = f.first_day
),
active as (
  select distinct m.period_start, m.source, m.account_id, m.product_id, c.k
  from members m
  join cohort_cells c on c.period_start = m.period_start
  join customer_product_cover s
    on s.source = m.source and s.account_id = m.account_id
    and s.product_id is not distinct from m.product_id
    and s.start_date <= c.measured_on
    and (s.end_date is null or s.end_date > c.measured_on)
)
select
  m.period_start,
  m.source,
  m.account_id,
  m.product_id,
  c.k_text as k,
  a.k is not null as is_active
from members m
join cohort_cells c on c.period_start = m.period_start
left join active a
  on a.period_start = m.period_start and a.source = m.source and a.account_id = m.account_id
  and a.product_id is not distinct from m.product_id and a.k = c.k
