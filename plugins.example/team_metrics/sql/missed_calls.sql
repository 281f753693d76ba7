-- One row per inbound call of a known account that nobody answered.
-- callback_seconds: until the next outbound call to the account; null when there was none yet.
with calls as (
  select source, id, account_id, user_id, direction, outcome, occurred_at
  from live_activities
  where activity_type = 'call' and account_id is not null
),
missed as (
  select *
  from calls
  where direction = 'inbound' and outcome = 'no_answer'
),
callbacks as (
  select m.source, m.id, min(c.occurred_at) as called_back_at
  from missed m
  join calls c
    on c.source = m.source
    and c.account_id = m.account_id
    and c.direction = 'outbound'
    and c.occurred_at > m.occurred_at
  group by m.source, m.id
)
select
  m.source,
  m.id,
  m.account_id,
  m.user_id,
  m.occurred_at,
  epoch(b.called_back_at - m.occurred_at)::double as callback_seconds
from missed m
left join callbacks b on b.source = m.source and b.id = m.id
