-- One row per period, account and product family that it ordered in the period: number of its orders
-- with that family.
-- excluded: orders
select
  d.period_start,
  o.source,
  o.account_id,
  o.family,
  case when $merge_same_day then count(distinct o.ordered_on) else count(*) end as orders
from family_orders o
join period_days d on d.day = o.ordered_on
group by d.period_start, o.source, o.account_id, o.family
