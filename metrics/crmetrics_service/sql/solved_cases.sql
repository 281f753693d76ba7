-- materialized
-- One row per case that was ever solved: its first solve, how often it was reopened (null without
-- history), and the case; a case that is not loaded has only its history. Later changes of the case
-- (case_updated_at) do not touch its solves.
-- excluded: cases
select
  s.source,
  s.case_id,
  s.first_solved_at,
  s.last_solved_at,
  s.reopen_count,
  c.updated_at as case_updated_at,
  c.* exclude (source, id, updated_at)
from case_solves s
left join live_cases c on c.source = s.source and c.id = s.case_id
where s.first_solved_at is not null
