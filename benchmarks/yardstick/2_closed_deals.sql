-- Deals by close date. Read once for six KPIs: into sums by day, which serve the month, the month
-- before and the 90 days alike, and into medians by month, which cannot be added up.
create temp table deals as
select
  o.close_date as day,
  o.owner_id,
  o.is_closed,
  o.is_won,
  case when o.currency is null or o.currency = 'USD' then o.amount end as amount,
  case when o.currency <> 'USD' then o.amount * r.rate end as foreign_amount,
  case
    when o.is_won and o.close_date >= make_timestamp(epoch_us(o.created_at))::date
    then o.close_date - make_timestamp(epoch_us(o.created_at))::date
  end as cycle,
  coalesce(u.team, '(none)') as team,
  coalesce(a.segment, '(none)') as segment,
  coalesce(o.lead_source, '(none)') as lead_source
from crm.opportunities o
left join rates r on r.currency = o.currency and r.day = o.close_date
left join crm.users u on u.id = o.owner_id
left join accounts a on a.id = o.account_id
where not o.is_deleted and not o.is_test
  and o.close_date >= date '2023-11-01'
  and (o.is_closed or (o.close_date >= date '2025-12-15' and o.close_date < date '2026-01-01'));

create temp table daily as
select
  day, team, segment, lead_source,
  count(*) as closed,
  count(*) filter (where is_won) as won,
  sum(amount) filter (where is_won) as amount,
  sum(foreign_amount) filter (where is_won) as foreign_amount,
  count(amount) filter (where is_won) + count(foreign_amount) filter (where is_won) as amounts,
  sum(cycle) as cycle_days,
  count(cycle) as cycles
from deals
where is_closed
group by grouping sets ((day), (day, team), (day, segment), (day, lead_source));

create temp table sums as
select
  w.kind, w.month,
  case
    when d.team is not null then 'team' when d.segment is not null then 'segment'
    when d.lead_source is not null then 'lead_source' else ''
  end as dimension,
  coalesce(d.team, d.segment, d.lead_source, '') as entry,
  sum(closed) as closed,
  sum(won) as won,
  coalesce(sum(amount)::double, 0) + coalesce(sum(foreign_amount), 0) as amount,
  sum(amounts) as amounts,
  sum(cycle_days) / sum(cycles) as mean_cycle
from daily d
join windows w on d.day >= w.first_day and d.day < w.end_day
group by w.kind, w.month, d.team, d.segment, d.lead_source;

insert into answer
select
  unnest(['won_amount', 'win_rate', 'average_deal_size']), month, dimension, entry, null,
  unnest([amount, won / closed, amount / nullif(amounts, 0)])
from sums
where kind = 'own';

insert into answer
select 'sales_growth_rate', p.month, p.dimension, p.entry, null, (coalesce(c.amount, 0) - p.amount) / p.amount
from sums p
left join sums c
  on c.kind = 'own' and c.month = p.month and c.dimension = p.dimension and c.entry = p.entry
where p.kind = 'previous' and p.amount > 0;

insert into answer
select
  'sales_cycle_length', month,
  case
    when team is not null then 'team' when segment is not null then 'segment'
    when lead_source is not null then 'lead_source' else ''
  end,
  coalesce(team, segment, lead_source, ''), null, median
from (
  select
    date_trunc('month', day)::date as month, team, segment, lead_source,
    quantile_cont(cycle, 0.5) as median
  from deals
  where is_won and cycle is not null and day >= date '2024-01-01'
  group by grouping sets ((month), (month, team), (month, segment), (month, lead_source))
);
