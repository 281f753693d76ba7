with dated as (
  select i, (getvariable('history_days') - 1) * draw(i, 'surveyed') as sent
  from range(getvariable('surveys')) r(i)
)
select
  record_id('0Kd', i) as id,
  false as is_deleted,
  test(i + 0.7) as is_test,
  at_day(sent) as updated_at,
  pick(i, 'survey', ['nps', 'csat']) as survey_type,
  case when draw(i, 'responded') < 0.4 then floor(11 * sqrt(draw(i, 'score'))) end as score,
  0::double as scale_min,
  10::double as scale_max,
  'email' as channel,
  at_day(sent) as sent_at,
  case when draw(i, 'responded') < 0.4 then at_day(sent + draw(i, 'days to respond')) end as responded_at,
  record_id('001', floor(draw(i, 'survey account') * getvariable('accounts'))::bigint) as account_id,
  null::varchar as contact_id,
  null::varchar as case_id,
  null::varchar as user_id,
  record_id('01t', i % 12) as product_id
from dated
order by i
