-- One row per period, active user and course that the user's latest enrollment before the period's
-- end requires.
-- excluded: users
with enrollments as (
  select
    p.period_start,
    p.snapshot_at,
    source_of_users(e.source, e.user_id) as source,
    e.user_id,
    e.course,
    e.is_required,
    e.due_at,
    e.completed_at,
    row_number() over (
      partition by p.period_start, source_of_users(e.source, e.user_id), e.user_id, e.course
      order by e.assigned_at desc, e.id desc
    ) as place
  from live_training_enrollments e
  join periods p on e.assigned_at < p.snapshot_at
)
select
  e.period_start,
  e.source,
  e.user_id,
  e.course,
  coalesce(e.completed_at < e.snapshot_at, false) as is_complete,
  coalesce(e.completed_at <= e.due_at, false) as is_on_time,
  coalesce(e.due_at < e.snapshot_at, false) as is_due
from enrollments e
join live_users u on u.source = e.source and u.id = e.user_id
where e.place = 1
  and e.is_required
  and u.user_type = 'human'
  and (u.deactivated_at is null or u.deactivated_at >= e.snapshot_at)
