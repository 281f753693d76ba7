-- One row per period and human user who holds a licence at its end.
select
  p.period_start,
  p.snapshot_day,
  u.source,
  u.id as user_id,
  p.snapshot_day - local_day(u.created_at) as tenure_days
from live_users u
join periods p
  on u.created_at < p.snapshot_at
  and (u.deactivated_at is null or u.deactivated_at >= p.snapshot_at)
where u.user_type = 'human' and u.is_licensed
