-- One row per period and employee (is_employee), or item of work: counted for its owner when that is
-- a human user of the item's role, unassigned when it is of no human at all.
select
  period_start,
  role,
  source,
  user_id,
  true as is_employee,
  active_share,
  0 as items,
  0 as unassigned,
  null::decimal(28, 10) as won_amount,
  0 as missing_amount,
  0 as missing_rate
from employees
union all
select
  w.period_start,
  w.role,
  w.source,
  w.user_id,
  false,
  null,
  (u.id is not null)::int,
  (u.id is null)::int,
  case when u.id is not null then w.won_amount end,
  (u.id is not null and w.amount is null)::int,
  (u.id is not null and w.amount is not null and w.won_amount is null)::int
from finished_work w
left join live_users u
  on u.source = w.source and u.id = w.user_id and u.user_type = 'human'
where u.id is null or u.role = w.role
