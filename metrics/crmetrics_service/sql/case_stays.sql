-- One row per stay of a case in a status that is not solved, with the case. Without any history only
-- the present is known: an open case then has been so since the moment before as_of.
-- excluded: cases
with stays as (
  select
    source_of_cases(source, case_id) as source,
    case_id,
    status_category,
    entered_at,
    exited_at
  from live_case_status_history
  where status_category <> 'solved'
  union all
  select
    source,
    id,
    null,
    $as_of - interval 1 microsecond,
    null
  from live_cases
  where not is_closed
    and not $is_past
    and not exists (select 1 from live_case_status_history)
)
select
  s.source,
  s.case_id,
  s.status_category,
  s.entered_at,
  s.exited_at,
  c.created_at,
  c.account_id,
  c.contact_id,
  c.owner_id,
  c.team,
  c.product_id,
  c.channel,
  c.category,
  c.priority
from stays s
left join live_cases c on c.source = s.source and c.id = s.case_id
