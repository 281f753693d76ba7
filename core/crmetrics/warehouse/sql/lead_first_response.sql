-- One row per lead: (source, lead_id, first_response_at), null while unanswered. The column of the
-- lead, else its first completed outbound touch by a human at or after its creation.
create or replace temp view lead_first_response as
with touches as (
    select
        source_of_leads(source, lead_id) as source,
        lead_id,
        source_of_users(source, user_id) as user_source,
        user_id,
        occurred_at
    from live_activities
    where lead_id is not null
        and direction = 'outbound'
        and activity_type in ('call', 'email', 'meeting', 'chat')
        and is_completed
        and not is_automated
),
answers as (
    select leads.source, leads.id, min(touches.occurred_at) as answered_at
    from touches
    anti join integration_users as machines
        on machines.source = touches.user_source
        and machines.id = touches.user_id
    join live_leads as leads
        on leads.source = touches.source
        and leads.id = touches.lead_id
    where leads.first_response_at is null
        and touches.occurred_at >= leads.created_at
    group by leads.source, leads.id
)
select
    leads.source,
    leads.id as lead_id,
    coalesce(leads.first_response_at, answers.answered_at) as first_response_at
from live_leads as leads
left join answers
    on answers.source = leads.source
    and answers.id = leads.id
