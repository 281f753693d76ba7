-- materialized
-- One row per case: its first human answer (null while unanswered) and the seconds until it. The
-- answer is the column, else the first public message of a human agent at or after the creation;
-- an agent who opens a case begins it with a message, so there the second one answers.
with replies as (
  select
    source,
    case_id,
    sent_at,
    row_number() over (partition by source, case_id order by sent_at, id) as number
  from agent_messages
  where is_public
),
answers as (
  select c.source, c.id, min(r.sent_at) as answered_at
  from live_cases c
  join replies r on r.source = c.source and r.case_id = c.id
  where c.first_response_at is null
    and r.sent_at >= c.created_at
    and (c.is_created_by_agent is not true or r.number > 1)
  group by c.source, c.id
),
responses as (
  select
    c.* exclude (first_response_at),
    coalesce(c.first_response_at, a.answered_at) as first_response_at
  from live_cases c
  left join answers a on a.source = c.source and a.id = c.id
)
select *, (epoch_us(first_response_at) - epoch_us(created_at)) / 1e6 as response_seconds
from responses
