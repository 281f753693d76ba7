-- One row per period, k and account that became a customer in the period: is it active on the
-- measuring day?
-- excluded: customers
with members as (
  select d.period_start, f.source, f.account_id
  from customer_first_days f
  join period_days d on d.day = f.first_day
),
active as (
  select distinct m.period_start, m.source, m.account_id, c.k
  from members m
  join cohort_cells c on c.period_start = m.period_start
  join customer_cover s
    on s.source = m.source and s.account_id = m.account_id
    and s.start_date <= c.measured_on
    and (s.end_date is null or s.end_date > c.measured_on)
)
select
  m.period_start,
  m.source,
  m.account_id,
  c.k_text as k,
  a.k is not null as is_active
from members m
join cohort_cells c on c.period_start = m.period_start
left join active a
  on a.period_start = m.period_start and a.source = m.source
  and a.account_id = m.account_id and a.k = c.k
