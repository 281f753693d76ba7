-- One row per period: days from the first CRM cost to the first day on which all benefits so far were
-- at least all CRM costs so far; null while that day has not come.
with amounts as (
  select
    b.benefit_date as day,
    case
      when b.currency is null or b.currency = $reporting_currency then b.amount::decimal(28, 10)
      else (b.amount * r.rate)::decimal(28, 10)
    end as benefit,
    null::decimal(28, 10) as cost
  from live_benefits b
  left join rates_by_day r on r.currency = b.currency and r.day = b.benefit_date
  where b.category <> 'cost_saving'
    or (b.baseline_amount is not null and b.actual_amount is not null)
  union all
  select
    e.expense_date,
    null,
    case
      when e.currency is null or e.currency = $reporting_currency then e.amount::decimal(28, 10)
      else (e.amount * r.rate)::decimal(28, 10)
    end
  from live_expenses e
  left join rates_by_day r on r.currency = e.currency and r.day = e.expense_date
  where e.category in ('crm_license', 'crm_implementation', 'crm_training', 'crm_support')
),
days as (
  select
    day,
    min(day) filter (where bool_or(cost is not null)) over () as first_cost_day,
    sum(coalesce(sum(benefit), 0)) over (order by day) as benefit_so_far,
    sum(coalesce(sum(cost), 0)) over (order by day) as cost_so_far
  from amounts
  where day is not null
  group by day
),
payback as (
  select min(day) as day, min(first_cost_day) as first_cost_day
  from days
  where day >= first_cost_day
    and benefit_so_far >= cost_so_far
)
select p.period_start, b.day - b.first_cost_day as days
from periods p
left join payback b on b.day <= p.snapshot_day
