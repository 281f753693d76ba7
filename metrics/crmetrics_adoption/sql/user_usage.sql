-- One row per period and user who holds a licence at its end (is_licensed) or did something in it:
-- days with any event and with a login, object types touched.
-- excluded: users
with usage as (
  select
    p.period_start,
    e.source,
    e.user_id,
    count(*) as events,
    count(*) filter (where e.activity_group = 'data_entry') as entries,
    count(distinct e.day) as active_days,
    count(distinct e.day) filter (where e.activity_type = 'login') as login_days,
    count(distinct e.object_type) as object_types
  from user_events e
  join period_days p on p.day = e.day
  group by p.period_start, e.source, e.user_id
)
select
  coalesce(l.period_start, u.period_start) as period_start,
  coalesce(l.source, u.source) as source,
  coalesce(l.user_id, u.user_id) as user_id,
  l.user_id is not null as is_licensed,
  l.tenure_days,
  l.snapshot_day - l.period_start + 1 as days,
  coalesce(u.events, 0) > 0 as is_active,
  coalesce(u.entries, 0) > 0 as has_entries,
  coalesce(u.active_days, 0) as active_days,
  coalesce(u.login_days, 0) as login_days,
  coalesce(u.object_types, 0) as object_types
from licensed_users l
full join usage u
  on u.period_start = l.period_start and u.source = l.source and u.user_id = l.user_id
