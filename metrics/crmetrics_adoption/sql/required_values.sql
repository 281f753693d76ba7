-- for each required_fields: one row per live record and required field, empty or filled.
select
  '{dataset}' as dataset,
  '{item}' as field,
  source,
  id,
  owner_id,
  coalesce({created}, timestamptz '1970-01-01 00:00:00+00') as created_at,
  updated_at,
  ({item}) is not null
    and not (
      typeof({item}) = 'VARCHAR'
      and lower(trim(({item})::varchar)) in (
        select lower(trim(p.text)) from (select unnest($placeholders::varchar[]) as text) p
      )
    )
    and not (
      ('{item}' in (select unnest($zero_is_empty::varchar[]))
        or concat('{dataset}', '.', '{item}') in (select unnest($zero_is_empty::varchar[])))
      and try_cast(({item})::varchar as double) is not distinct from 0
    ) as is_filled
from (
  select * from live_{dataset}
  union all by name
  select null::varchar as owner_id where false
)
