-- One row per message of a human agent on a case, internal notes included (is_public tells them
-- apart). source is that of the case.
with messages as (
  select
    source_of_cases(source, case_id) as source,
    case_id,
    id,
    sent_at,
    is_public,
    source_of_users(source, user_id) as user_source,
    user_id
  from live_case_messages
  where author_type = 'agent'
)
select m.source, m.case_id, m.id, m.sent_at, m.is_public
from messages m
anti join integration_users u on u.source = m.user_source and u.id = m.user_id
