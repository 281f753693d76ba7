-- One row per period and employee: items per employee, and their median over the user's team.
with work as (
  select
    w.period_start,
    any_value(w.role) as role,
    w.source,
    w.user_id,
    sum(w.items)::double / nullif(sum(w.active_share), 0) as items_per_employee
  from employee_work w
  where w.unassigned = 0
  group by w.period_start, w.source, w.user_id
)
select
  w.*,
  quantile_cont(w.items_per_employee, 0.5) over (partition by w.period_start, u.team)
    as team_median
from work w
left join live_users u on u.source = w.source and u.id = w.user_id
where w.items_per_employee is not null
