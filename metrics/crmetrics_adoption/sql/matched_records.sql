-- for each match_keys: one row per live record; a duplicate when another one has the same values in
-- all its match keys, none of them empty.
select
  '{dataset}' as dataset,
  source,
  id,
  owner_id,
  coalesce({created}, timestamptz '1970-01-01 00:00:00+00') as created_at,
  updated_at,
  list_count([{items}]) = len([{items}]) and count(*) over (partition by [{items}]) > 1
    as is_duplicate
from (
  select * from live_{dataset}
  union all by name
  select null::varchar as owner_id where false
)
