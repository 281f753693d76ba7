-- One row per touch of an account by or with a human: completed calls, e-mails, meetings and chats,
-- and public case messages of customers and agents. Machines and automated messages are none.
with touches as (
  select
    source_of_accounts(source, account_id) as source,
    account_id,
    source_of_users(source, user_id) as user_source,
    user_id,
    occurred_at as touched_at
  from live_activities
  where account_id is not null
    and occurred_at is not null
    and activity_type in ('call', 'email', 'meeting', 'chat')
    and is_completed
    and not is_automated
  union all
  select
    source_of_accounts(c.source, c.account_id),
    c.account_id,
    source_of_users(m.source, m.user_id),
    m.user_id,
    m.sent_at
  from live_case_messages m
  join live_cases c on c.source = source_of_cases(m.source, m.case_id) and c.id = m.case_id
  where c.account_id is not null
    and m.sent_at is not null
    and m.author_type in ('customer', 'agent')
    and m.is_public
)
select
  t.source,
  t.account_id,
  t.touched_at,
  local_day(t.touched_at) as touched_on,
  null::date as never
from touches t
anti join integration_users u on u.source = t.user_source and u.id = t.user_id
