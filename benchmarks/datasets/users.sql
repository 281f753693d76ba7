select
  record_id('005', i) as id,
  false as is_deleted,
  false as is_test,
  at_day(0) as updated_at,
  'Team ' || lpad((i % greatest(5, least(20, getvariable('owners') // 10)))::varchar, 2, '0') as team,
  case when draw(i, 'role') < 0.8 then 'sales' else pick(i, 'other role', ['service', 'other']) end as role,
  'human' as user_type,
  true as is_licensed,
  at_day(0) as created_at,
  null::timestamptz as deactivated_at
from range(getvariable('owners')) r(i)
order by i
