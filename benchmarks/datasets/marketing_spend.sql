select
  record_id('spend', i) as id,
  false as is_deleted,
  false as is_test,
  at_day(i // 10) as updated_at,
  date '2021-01-01' + (i // 10)::integer as spend_date,
  record_id('701', i // 90) as campaign_id,
  pick(i % 10, 'spend channel', ['email', 'search', 'social', 'event', 'partner']) as channel,
  round(50 + 400 * draw(i, 'spend'), 2)::decimal(18, 4) as amount,
  'USD' as currency
from range(10 * getvariable('history_days')) r(i)
order by i
