-- One row per successful event of a user who is no machine, in the source of the user.
-- activity_group is null for what is no login, entry or report.
select
  source_of_users(a.source, a.user_id) as source,
  a.user_id,
  a.activity_type,
  case
    when a.activity_type in ('record_created', 'record_updated') then 'data_entry'
    when a.activity_type in ('login', 'report_run') then a.activity_type
  end as activity_group,
  a.object_type,
  a.occurred_at,
  local_day(a.occurred_at) as day
from live_user_activity a
left join integration_users m
  on m.source = source_of_users(a.source, a.user_id) and m.id = a.user_id
where a.is_success and m.id is null
