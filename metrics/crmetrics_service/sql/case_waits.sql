-- One row per case whose last stay is solved, or may be: how long it waited for us, in seconds of the
-- calendar and of the team's business hours. Waiting for the customer (pending) does not count. Null
-- where the category of a stay is not known, the last one's included.
-- excluded: cases
with stays as (
  select
    source_of_cases(source, case_id) as source,
    case_id,
    id,
    status_category,
    entered_at,
    exited_at
  from live_case_status_history
  where case_id is not null and entered_at is not null
),
ordered as (
  select
    *,
    lead(entered_at) over (
      partition by source, case_id
      order by entered_at, exited_at nulls last, id
    ) as next_entered_at
  from stays
),
teams as (
  select c.source, c.id, coalesce(c.team, u.team) as team
  from live_cases c
  left join live_users u on u.source = source_of_users(c.source, c.owner_id) and u.id = c.owner_id
),
waits as (
  select
    o.source,
    o.case_id,
    o.next_entered_at is null and coalesce(o.status_category, 'solved') = 'solved' as is_last_solve,
    o.status_category in ('new', 'open', 'on_hold') as is_ours,
    o.status_category is not null as is_known,
    (epoch_us(coalesce(o.exited_at, o.next_entered_at)) - epoch_us(o.entered_at)) / 1e6 as seconds,
    business_seconds(t.team, o.entered_at, coalesce(o.exited_at, o.next_entered_at))
      as worked_seconds
  from ordered o
  left join teams t on t.source = o.source and t.id = o.case_id
),
totals as (
  select
    source,
    case_id,
    case when bool_and(is_known) then coalesce(sum(seconds) filter (where is_ours), 0) end
      as wait_seconds,
    case when bool_and(is_known) then coalesce(sum(worked_seconds) filter (where is_ours), 0) end
      as worked_wait_seconds,
    count(*) filter (where is_ours and seconds < 0) as invalid_stays
  from waits
  group by source, case_id
  having bool_or(is_last_solve)
)
select s.*, t.wait_seconds, t.worked_wait_seconds, t.invalid_stays
from totals t
join solved_cases s on s.source = t.source and s.case_id = t.case_id
