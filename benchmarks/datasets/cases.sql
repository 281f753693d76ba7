with dated as (
  select
    i,
    (getvariable('history_days') - 1) * pow((i + 0.5) / getvariable('cases'), 0.8) as created,
    exp(0.3 + bell(i, 'solve')) as solve_days
  from range(getvariable('cases')) r(i)
)
select
  record_id('500', i) as id,
  deleted(i + 0.6) as is_deleted,
  test(i + 0.6) as is_test,
  at_day(created) as updated_at,
  reference('001', floor(draw(i, 'case account') * getvariable('accounts'))::bigint, i, 'case account')
    as account_id,
  null::varchar as contact_id,
  record_id('005', floor(draw(i, 'agent') * getvariable('owners'))::bigint) as owner_id,
  'Support' as team,
  record_id('01t', floor(draw(i, 'case product') * 12)::bigint) as product_id,
  pick(i, 'case channel', ['email', 'phone', 'chat', 'web']) as channel,
  pick(i, 'category', ['billing', 'defect', 'question']) as category,
  pick(i, 'priority', ['low', 'normal', 'high']) as priority,
  case when created + solve_days < getvariable('history_days') - 0.5 then 'Solved' else 'Open' end as status,
  created + solve_days < getvariable('history_days') - 0.5 as is_closed,
  at_day(created) as created_at,
  at_day(created + 0.2 * draw(i, 'case answer')) as first_response_at,
  case when created + solve_days < getvariable('history_days') - 0.5 then at_day(created + solve_days) end
    as closed_at,
  draw(i, 'escalated') < 0.06 as is_escalated,
  null::timestamptz as escalated_at,
  false as is_created_by_agent,
  draw(i, 'spam') < 0.01 as is_spam,
  null::varchar as merged_into_id
from dated
order by i
