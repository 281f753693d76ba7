-- One row per period, activity group, object type and event, or user with a licence at the period's
-- end, who stands in every group and object type of the period.
select
  period_start, source, user_id, activity_group, object_type, 1 as events, false as is_licensed
from counted_user_events
union all
select l.period_start, l.source, l.user_id, g.activity_group, g.object_type, 0, true
from licensed_users l
join (
  select distinct period_start, activity_group, object_type from counted_user_events
) g on g.period_start = l.period_start
