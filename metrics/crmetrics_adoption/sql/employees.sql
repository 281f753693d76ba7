-- One row per period and human user with work to do in it: the share of the period (so far) that
-- the user was active.
select
  p.period_start,
  u.role,
  u.source,
  u.id as user_id,
  (
    least(epoch_us(u.deactivated_at), epoch_us(p.snapshot_at))
    - greatest(epoch_us(u.created_at), epoch_us(p.start_at))
  )::double / nullif(epoch_us(p.snapshot_at) - epoch_us(p.start_at), 0) as active_share
from live_users u
join periods p
  on u.created_at < p.snapshot_at
  and (u.deactivated_at is null or u.deactivated_at > greatest(u.created_at, p.start_at))
where u.user_type = 'human' and u.role in ('sales', 'service', 'marketing')
