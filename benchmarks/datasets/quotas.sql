-- A monthly quota for nine owners of ten, about what one of them sells.
select
  record_id('0Cq', owner * 60 + month) as id,
  false as is_deleted,
  false as is_test,
  at_day(0) as updated_at,
  record_id('005', owner) as owner_id,
  'won_amount' as kpi_id,
  (date '2021-01-01' + to_months(month::integer))::date as period_start,
  (date '2021-02-01' + to_months(month::integer))::date as period_end,
  round(getvariable('monthly_sales') * (0.6 + 0.8 * draw(owner, 'quota')), -2)::decimal(18, 4)
    as target_amount,
  'USD' as currency
from range(getvariable('owners')) o(owner)
cross join range(60) m(month)
where draw(owner, 'has quota') < 0.9
order by owner, month
