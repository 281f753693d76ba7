-- One row per period and account that ordered in it: number of its orders.
-- excluded: orders
select
  d.period_start,
  o.source,
  o.account_id,
  case when $merge_same_day then count(distinct o.ordered_on) else count(*) end as orders
from buyer_orders o
join period_days d on d.day = o.ordered_on
group by d.period_start, o.source, o.account_id
