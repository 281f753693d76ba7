-- One row per completed activity of a human: planned and automated ones and those of integration
-- users are no work of people.
-- excluded: activities
with completed as (
  select *, source_of_users(source, user_id) as user_source
  from live_activities
  where is_completed and not is_automated
)
select a.* exclude (user_source)
from completed a
anti join integration_users u on u.source = a.user_source and u.id = a.user_id
