-- materialized
-- One row per contact, the activities (legs) of one interaction: when its last leg ended, what it
-- was, and the working seconds of all legs. talk_seconds is null when no leg has any.
-- excluded: activities
with legs as not materialized (
  select
    source,
    interaction_id,
    id,
    occurred_at,
    coalesce(ended_at, occurred_at) as ended_at,
    talk_seconds,
    coalesce(talk_seconds, 0) + coalesce(hold_seconds, 0) + coalesce(wrap_seconds, 0) as seconds,
    user_id,
    activity_type,
    direction,
    account_id,
    contact_id,
    lead_id,
    opportunity_id,
    case_id
  from human_activities
),
interactions as (
  select
    source,
    max(ended_at) as ended_at,
    sum(talk_seconds) as talk_seconds,
    sum(seconds) as seconds,
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
      (ended_at, occurred_at, id)
    ) as last_leg
  from legs
  where interaction_id is not null
  group by source, interaction_id
)
select source, ended_at, talk_seconds, seconds, unnest(last_leg)
from interactions
union all by name
-- An activity outside of any interaction is a contact of its own: grouping these, most of all,
-- would cost more than everything else that is read of them.
select
  source, ended_at, talk_seconds, seconds, user_id, activity_type, direction, account_id,
  contact_id, lead_id, opportunity_id, case_id
from legs
where interaction_id is null
