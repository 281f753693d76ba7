select
  record_id('701', i) as id,
  false as is_deleted,
  false as is_test,
  at_day(9 * i) as updated_at,
  'Campaign ' || i as name,
  pick(i, 'channel', ['email', 'search', 'social', 'event', 'partner']) as channel,
  date '2021-01-01' + (9 * i)::integer as start_date,
  date '2021-01-31' + (9 * i)::integer as end_date,
  (5000 + floor(20000 * draw(i, 'budget')))::decimal(18, 4) as budgeted_cost,
  'USD' as currency
from range(200) r(i)
order by i
