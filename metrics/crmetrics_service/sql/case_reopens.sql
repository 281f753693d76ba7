-- One row per solved case with history: moves from solved to another status within the window after
-- its first solve. A move that is solved again within an hour without a message of an agent was the
-- customer's thanks and does not count.
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
    entered_at,
    is_solved,
    lag(is_solved, 1, false) over history as was_solved,
    min(case when is_solved then entered_at end) over (
      partition by source, case_id
      order by entered_at, exited_at nulls last, id
      rows between 1 following and unbounded following
    ) as solved_again_at
  from stays
  window history as (
    partition by source, case_id
    order by entered_at, exited_at nulls last, id
  )
),
reopens as (
  select
    source,
    case_id,
    entered_at,
    solved_again_at,
    coalesce(epoch_us(solved_again_at) - epoch_us(entered_at) < 3600000000, false) as is_short
  from moves
  where was_solved and not is_solved
),
worked_on as (
  select distinct r.source, r.case_id, r.entered_at
  from reopens r
  join agent_messages m on m.source = r.source and m.case_id = r.case_id
  where r.is_short and m.sent_at >= r.entered_at and m.sent_at <= r.solved_again_at
),
counted as (
  select s.source, s.case_id, count(*) as reopens
  from solved_cases s
  join reopens r on r.source = s.source and r.case_id = s.case_id
  left join worked_on w on w.source = r.source
    and w.case_id = r.case_id
    and w.entered_at = r.entered_at
  where (not r.is_short or w.case_id is not null)
    and epoch_us(r.entered_at) - epoch_us(s.first_solved_at) < $window_days * 86400000000
  group by s.source, s.case_id
)
select s.*, coalesce(c.reopens, 0) as reopens
from solved_cases s
left join counted c on c.source = s.source and c.case_id = s.case_id
where s.reopen_count is not null
