-- The rows of account_results less the acquisition cost of a customer of the period, where the account
-- became a customer in it.
with costs as (
  select d.period_start, sum(c.amount) as amount
  from operating_costs c
  join period_days d on d.day = c.day
  where c.category in ('sales', 'marketing')
  group by d.period_start
),
newcomers as (
  select d.period_start, f.source, f.account_id
  from customer_first_days f
  join period_days d on d.day = f.first_day
),
acquisition_costs as (
  select n.period_start, any_value(c.amount)::double / count(*) as amount
  from newcomers n
  left join costs c on c.period_start = n.period_start
  group by n.period_start
)
select
  r.* exclude (result),
  r.result - case when n.account_id is null then 0 else coalesce(a.amount, 0) end as result
from account_results r
left join newcomers n
  on n.period_start = r.period_start and n.source = r.source and n.account_id = r.account_id
left join acquisition_costs a on a.period_start = r.period_start
