-- for each required_fields: one row per open lead, deal or case; stale when it was last changed more
-- than 90 days before as_of.
select
  '{dataset}' as dataset,
  source,
  id,
  owner_id,
  coalesce({created}, timestamptz '1970-01-01 00:00:00+00') as created_at,
  updated_at,
  epoch_us($as_of) - epoch_us(updated_at) > 90 * 86400000000 as is_stale
from (
  select * from live_{dataset}
  union all by name
  select
    null::varchar as owner_id,
    null::boolean as is_closed,
    null::timestamptz as converted_at,
    null::timestamptz as disqualified_at
  where false
)
where case
    when '{dataset}' = 'leads' then converted_at is null and disqualified_at is null
    when '{dataset}' in ('opportunities', 'cases') then not is_closed
    else false
  end
