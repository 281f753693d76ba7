-- materialized
-- One row per contact, the activities (legs) of one interaction: when its last leg ended, what it
-- was, and the working seconds of all legs. talk_seconds is null when no leg has any.
-- excluded: activities
with legs as (
  select
    *,
    coalesce('interaction ' || interaction_id, 'activity ' || id) as contact,
    coalesce(ended_at, occurred_at) as leg_ended_at
  from human_activities
),
contacts as (
  select
    source,
    max(leg_ended_at) as ended_at,
    sum(talk_seconds) as talk_seconds,
    sum(coalesce(talk_seconds, 0) + coalesce(hold_seconds, 0) + coalesce(wrap_seconds, 0))
      as seconds,
    -- A struct is never null, so that the last leg counts also where it lacks a user.
    arg_max(
      {
        'user_id': user_id,
        'activity_type': activity_type,
        'direction': direction,
        'account_id': account_id,
        'contact_id': contact_id,
        'lead_id': lead_id,
        'opportunity_id': opportunity_id,
        'case_id': case_id
      },
      (leg_ended_at, occurred_at, id)
    ) as last_leg
  from legs
  group by source, contact
)
select source, ended_at, talk_seconds, seconds, unnest(last_leg)
from contacts
