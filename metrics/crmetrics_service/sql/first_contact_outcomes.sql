-- materialized
-- One row per solved case that a customer opened: contacts up to the first solve, whether it was
-- ever escalated, when it was reopened and when the same person came back with the same trouble.
-- excluded: cases
with solved as (
  select *
  from solved_cases
  where is_created_by_agent is not true
),
contacts as (
  select source, case_id, sent_at as contacted_at, false as is_call
  from agent_messages
  where is_public
  union all
  select source_of_cases(source, case_id), case_id, occurred_at, true
  from human_activities
  where activity_type = 'call' and case_id is not null
),
counted as (
  select s.source, s.case_id, count(*) as contacts
  from solved s
  join contacts t on t.source = s.source and t.case_id = s.case_id
  where t.contacted_at <= s.first_solved_at
    and t.is_call = (s.channel is not distinct from 'phone')
  group by s.source, s.case_id
),
stays as (
  select source_of_cases(source, case_id) as source, case_id, entered_at
  from live_case_status_history
  where status_category <> 'solved'
),
reopened as (
  select s.source, s.case_id, min(h.entered_at) as reopened_at
  from solved s
  join stays h on h.source = s.source and h.case_id = s.case_id
  where h.entered_at > s.first_solved_at
  group by s.source, s.case_id
),
repeated as (
  select s.source, s.case_id, min(o.created_at) as repeated_at
  from solved s
  join live_cases o on o.source = s.source
    and o.contact_id = s.contact_id
    and o.category = s.category
    and o.id <> s.case_id
  where o.created_at >= s.first_solved_at
    and o.is_created_by_agent is not true
  group by s.source, s.case_id
)
select
  s.* exclude (case_updated_at),
  s.case_updated_at as updated_at,
  coalesce(t.contacts, 0) as contacts,
  coalesce(s.is_escalated, false) or s.escalated_at is not null as was_escalated,
  (epoch_us(r.reopened_at) - epoch_us(s.first_solved_at)) / 86400e6 as days_to_reopen,
  (epoch_us(o.repeated_at) - epoch_us(s.first_solved_at)) / 86400e6 as days_to_repeat
from solved s
left join counted t on t.source = s.source and t.case_id = s.case_id
left join reopened r on r.source = s.source and r.case_id = s.case_id
left join repeated o on o.source = s.source and o.case_id = s.case_id
