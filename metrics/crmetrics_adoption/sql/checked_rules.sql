-- for each rules: one row per live record and condition, passed or not (unknown is not passed).
select
  '{dataset}' as dataset,
  '{item}' as field,
  source,
  id,
  owner_id,
  coalesce({created}, timestamptz '1970-01-01 00:00:00+00') as created_at,
  updated_at,
  coalesce(({item}), false) as is_passed
from (
  select * from live_{dataset}
  union all by name
  select null::varchar as owner_id where false
)
