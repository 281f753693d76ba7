-- One row per period, activity group and event (is_licensed false), or user with a licence at the
-- period's end, who stands in every group.
-- excluded: users
select period_start, source, user_id, activity_group, 1 as events, false as is_licensed
from counted_user_events
union all
select l.period_start, l.source, l.user_id, g.activity_group, 0, true
from licensed_users l
cross join (values ('data_entry'), ('login'), ('report_run')) as g(activity_group)
