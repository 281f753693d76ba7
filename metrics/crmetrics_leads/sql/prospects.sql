-- One row per prospect, a lead that was attempted at least once: its first attempt, the attempts
-- and the first response within the window that begins with it, and what is known of the lead.
with first_attempts as (
  select
    source,
    lead_id,
    min(occurred_at) as first_attempt_at,
    arg_min(activity_type, (occurred_at, id)) as activity_type
  from lead_touches
  where is_attempt
  group by source, lead_id
),
windows as (
  select
    f.source,
    f.lead_id,
    any_value(f.first_attempt_at) as first_attempt_at,
    any_value(f.activity_type) as activity_type,
    count(*) filter (where t.is_attempt) as attempts,
    min(t.occurred_at) filter (where t.is_response) as responded_at,
    max(t.updated_at) as updated_at
  from first_attempts f
  join lead_touches t
    on t.source = f.source and t.lead_id = f.lead_id
    and t.occurred_at >= f.first_attempt_at
    and epoch_us(t.occurred_at) - epoch_us(f.first_attempt_at) < $window_days * 86400000000
  group by f.source, f.lead_id
)
select
  w.*,
  w.lead_id as id,
  (epoch_us(w.responded_at) - epoch_us(w.first_attempt_at)) / 86400e6 as days_to_response,
  l.lead_source,
  l.owner_id,
  l.campaign_id,
  l.account_id,
  l.segment
from windows w
left join live_leads l on l.source = w.source and l.id = w.lead_id
