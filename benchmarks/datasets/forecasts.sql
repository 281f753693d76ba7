-- Two submissions before each month and one too late, in two categories.
select
  record_id('0J9', ((owner * 60 + month) * 2 + category) * 4 + submission) as id,
  false as is_deleted,
  false as is_test,
  at_day(30 * month) as updated_at,
  record_id('005', owner) as owner_id,
  (date '2021-01-01' + to_months(month::integer))::date as period_start,
  (date '2021-02-01' + to_months(month::integer))::date as period_end,
  make_timestamptz(epoch_us(date '2021-01-01' + to_months(month::integer)) + (submission - 2) * 86400000000 * 3 + 3600000000)
    as submitted_at,
  ['commit', 'best_case'][1 + category] as forecast_category,
  round(getvariable('monthly_sales') * (0.7 + 0.6 * draw((owner * 60 + month) * 8 + submission, 'forecast')), 2)
    ::decimal(18, 4) as forecast_amount,
  'USD' as currency
from range(getvariable('owners')) o(owner)
cross join range(60) m(month)
cross join range(2) c(category)
cross join range(3) s(submission)
where draw(owner * 60 + month, 'has forecast') < 0.95
order by owner, month, category, submission
