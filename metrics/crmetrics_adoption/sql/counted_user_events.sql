-- One row per period and event of an activity group; what one user enters in bulk within one clock
-- minute is one event, of the object type entered most.
with events as (
  select
    p.period_start,
    e.source,
    e.user_id,
    e.activity_group,
    e.object_type,
    epoch_us(e.occurred_at) // 60000000 as minute,
    e.activity_group = 'data_entry' and count(*) over (
      partition by e.source, e.user_id, e.activity_group, epoch_us(e.occurred_at) // 60000000
    ) > $bulk_import_size as is_bulk
  from user_events e
  join period_days p on p.day = e.day
  where e.activity_group is not null
)
select period_start, source, user_id, activity_group, object_type
from events
where not is_bulk
union all
select
  period_start,
  source,
  user_id,
  activity_group,
  arg_max(object_type, struct_pack(entries := entries, object_type := object_type))
from (
  select period_start, source, user_id, activity_group, minute, object_type, count(*) as entries
  from events
  where is_bulk
  group by all
)
group by period_start, source, user_id, activity_group, minute
