-- One row per touch of a lead: whether it was an attempt of ours, and whether the lead responded
-- by it. source is the lead's. Tasks and notes are no touches; an automatic answer and a bounce are
-- no responses.
select
  source_of_leads(source, lead_id) as source,
  lead_id,
  id,
  activity_type,
  occurred_at,
  direction = 'outbound' as is_attempt,
  coalesce(
    case direction
      when 'inbound' then not is_automated and outcome is distinct from 'bounced'
      when 'outbound' then outcome in ('connected', 'replied')
    end,
    false
  ) as is_response,
  updated_at
from live_activities
where lead_id is not null
  and is_completed
  and activity_type in ('call', 'email', 'meeting', 'chat')
  and direction in ('inbound', 'outbound')
