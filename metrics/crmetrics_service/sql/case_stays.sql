-- One row per stay of a case in a status that is not solved, with the case; a stay without a category
-- may have been (is_known tells them apart). A stay ends when the next one begins, also where its own
-- end is not told. Without any history only the present is known: an open case then has been so since
-- the moment before as_of.
-- excluded: cases
with history as (
  select
    source_of_cases(source, case_id) as source,
    case_id,
    id,
    status_category,
    entered_at,
    exited_at
  from live_case_status_history
),
followed as (
  select
    *,
    lead(entered_at) over (
      partition by source, case_id
      order by entered_at, exited_at nulls last, id
    ) as next_entered_at
  from history
),
stays as (
  select
    source,
    case_id,
    status_category,
    entered_at,
    coalesce(exited_at, next_entered_at) as exited_at,
    status_category is not null as is_known
  from followed
  where status_category is distinct from 'solved'
  union all
  select
    source,
    id,
    null,
    $as_of - interval 1 microsecond,
    null,
    true
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
  s.is_known,
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
