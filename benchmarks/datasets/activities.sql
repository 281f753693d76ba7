with touches as (
  select i, i * getvariable('opportunities') // getvariable('activities') as deal
  from range(getvariable('activities')) r(i)
),
dated as (
  select t.*, d.id as deal_id, d.account, d.owner, least(d.begun + 60 * draw(t.i, 'touch'),
    getvariable('history_days') - 1) as occurred
  from touches t
  join deals d on d.i = t.deal
)
select
  record_id('00T', i) as id,
  deleted(i + 0.5) as is_deleted,
  false as is_test,
  at_day(occurred) as updated_at,
  pick(i, 'activity', ['call', 'email', 'email', 'meeting', 'task']) as activity_type,
  pick(i, 'direction', ['outbound', 'outbound', 'inbound']) as direction,
  at_day(occurred) as occurred_at,
  at_day(occurred + 0.01 * draw(i, 'length')) as ended_at,
  null::varchar as interaction_id,
  record_id('005', owner) as user_id,
  record_id('001', account) as account_id,
  null::varchar as contact_id,
  null::varchar as lead_id,
  deal_id as opportunity_id,
  null::varchar as case_id,
  draw(i, 'done') < 0.9 as is_completed,
  draw(i, 'automated') < 0.1 as is_automated,
  pick(i, 'outcome', ['connected', 'no_answer', 'replied', 'bounced']) as outcome,
  round(600 * draw(i, 'talk')) as talk_seconds,
  null::double as hold_seconds,
  null::double as wrap_seconds,
  null::double as queue_seconds
from dated
order by i
