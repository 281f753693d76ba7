-- One row per move of a case into the category solved or out of it, with the case. A case that was
-- solved when it was created moved into it then. Only what a history tells.
-- excluded: cases
with stays as (
  select
    source_of_cases(source, case_id) as source,
    case_id,
    id,
    entered_at,
    exited_at,
    status_category = 'solved' as is_solved
  from live_case_status_history
  where case_id is not null and entered_at is not null and status_category is not null
),
moves as (
  select
    source,
    case_id,
    entered_at as moved_at,
    is_solved,
    lag(is_solved, 1, false) over (
      partition by source, case_id
      order by entered_at, exited_at nulls last, id
    ) as was_solved
  from stays
)
select
  m.source,
  m.case_id,
  m.moved_at,
  m.was_solved as is_reopening,
  c.* exclude (source, id)
from moves m
left join live_cases c on c.source = m.source and c.id = m.case_id
where m.is_solved <> m.was_solved
