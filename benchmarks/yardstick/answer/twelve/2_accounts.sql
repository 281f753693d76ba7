-- Retention, churn and movements of MRR from the changes of each account's MRR, apart for what was
-- left out (1 = deleted, 2 = test, 3 = with the account). Reading 0 is the last day before the months,
-- reading 24 that of the last one. Every amount is in US dollars and above zero, so an account is a
-- customer while it has MRR; amounts are whole ten-thousandths, which add up to zero again.
create temp table mrr_changes as
with spans as (
  select
    case when a.id is null then s.account_id end as absent,
    coalesce((a.rowid << 32) | (a.segment::bigint << 16) | (a.country::bigint << 8) | a.industry::bigint, 0)
      | (case when s.is_deleted then 1 when s.is_test then 2 when a.gone > 0 then 3 else 0 end::bigint << 24)
      as key,
    greatest(0, date_diff('month', date '2023-12-01', s.start_date))::utinyint as first_reading,
    case
      when s.end_date is null or s.end_date > date '2025-12-15' then 25
      else greatest(0, date_diff('month', date '2023-12-01', s.end_date))
    end::utinyint as last_reading,
    (s.mrr * 10000)::bigint as mrr
  from crm.subscriptions s
  left join buyers a on a.id = s.account_id
  where not s.is_trial and s.start_date <= date '2025-12-15' and (s.end_date is null or s.end_date > s.start_date)
),
changes as (
  select absent, key, reading, min(since) as since, sum(change)::bigint as change
  from (
    -- What no reading sees makes a customer too, who may return.
    select
      absent, key, first_reading as reading, first_reading as since,
      case when first_reading < last_reading then mrr else 0 end as change
    from spans
    union all
    select absent, key, last_reading, first_reading, -mrr
    from spans
    where first_reading < last_reading and last_reading < 25
  )
  group by all
)
select
  absent is not null as is_orphan, key, reading, change,
  min(since) over so_far < reading as was_customer,
  (sum(change) over so_far)::bigint as mrr
from changes
window so_far as (partition by absent, key order by reading);

create temp table account_cells as
with moves as (
  select
    is_orphan, key & 4294967295 as place, reading - 1 as position,
    case
      when mrr = change then case when was_customer then 'reactivation' else 'new' end
      when mrr = 0 then 'churn'
      when change > 0 then 'expansion'
      else 'contraction'
    end as movement,
    count(*) as accounts, sum(change) / 1e4 as change, 0 as customers, 0 as opening
  from mrr_changes
  where change <> 0 and reading > 0
  group by all
  union all
  select
    is_orphan, key & 4294967295, reading, '', 0, 0,
    sum((mrr > 0)::integer - (mrr > change)::integer), sum(change) / 1e4
  from mrr_changes
  where change <> 0 and reading < 24
  group by all
)
select
  * exclude (place),
  ((place >> 24) & 3)::utinyint as gone,
  ((place >> 16) & 255)::utinyint as segment,
  ((place >> 8) & 255)::utinyint as country,
  (place & 255)::utinyint as industry
from moves;

create temp table account_groups as
select
  position, movement,
  case
    when segment is not null then 'segment' when country is not null then 'country'
    when industry is not null then 'account.industry' else ''
  end as dimension,
  coalesce(segment, country, industry, 0) as code,
  sum(accounts) filter (where gone = 0) as n,
  sum(change) filter (where gone = 0) as change,
  sum(accounts) filter (where gone = 0 and is_orphan) as orphan,
  sum(accounts) filter (where gone = 1) as excluded_deleted,
  sum(accounts) filter (where gone = 2) as excluded_test,
  sum(accounts) filter (where gone = 3) as excluded_parent,
  sum(customers) filter (where gone = 0) as customers,
  sum(opening) filter (where gone = 0) as opening,
  sum(customers) filter (where gone = 0 and is_orphan) as orphan_customers,
  sum(customers) filter (where gone = 1) as deleted_customers,
  sum(customers) filter (where gone = 2) as test_customers,
  sum(customers) filter (where gone = 3) as parent_customers
from account_cells
group by grouping sets (
  (position, movement), (position, movement, segment), (position, movement, country),
  (position, movement, industry)
);

insert into answer by name
with openings as (
  select
    m.position, m.month, g.dimension, g.code,
    sum(o.customers) over so_far as customers,
    sum(o.opening) over so_far as opening,
    sum(o.orphan_customers) over so_far as orphan,
    sum(o.deleted_customers) over so_far as excluded_deleted,
    sum(o.test_customers) over so_far as excluded_test,
    sum(o.parent_customers) over so_far as excluded_parent
  from (select distinct dimension, code from account_groups) g
  cross join months m
  left join (from account_groups where movement = '') o using (position, dimension, code)
  window so_far as (partition by g.dimension, g.code order by m.position)
),
moved as (
  select
    position, dimension, code,
    sum(n) filter (where movement = 'churn') as lost,
    sum(change) filter (where movement in ('churn', 'contraction')) as shrunk,
    sum(change) filter (where movement in ('churn', 'contraction', 'expansion')) as moved
  from account_groups
  group by all
),
named as (
  select
    o.* exclude (position, code), e.entry, customers as n, customers as rows_used,
    coalesce(lost, 0) as lost, coalesce(shrunk, 0) as shrunk, coalesce(moved, 0) as moved
  from openings o
  left join moved m using (position, dimension, code)
  join entries e using (dimension, code)
  where customers > 0
),
rated as (
  select
    ['customer_retention_rate', 'customer_churn_rate'][side] as kpi,
    case side when 1 then customers - lost else lost end as numerator,
    customers as denominator,
    * exclude (customers, opening, lost, shrunk, moved, side)
  from named, unnest([1, 2]) s(side)
)
select
  *, numerator / denominator as value,
  wilson(numerator, denominator, -1) as interval_low,
  wilson(numerator, denominator, 1) as interval_high,
  state(month, n) as status, marks(month, n, denominator) as flags
from rated
union all by name
select
  unnest(['gross_revenue_retention', 'net_revenue_retention']) as kpi,
  unnest([opening + shrunk, opening + moved]) as numerator,
  opening as denominator,
  unnest([opening + shrunk, opening + moved]) / opening as value,
  * exclude (customers, opening, lost, shrunk, moved),
  state(month, opening) as status, [] as flags
from named;

insert into answer by name
with parts as (
  select
    position, dimension, code, movement as part,
    sum(change) as value, sum(n) as n, sum(orphan) as orphan,
    sum(excluded_deleted) as excluded_deleted, sum(excluded_test) as excluded_test,
    sum(excluded_parent) as excluded_parent
  from account_groups
  where movement <> ''
  group by grouping sets ((position, dimension, code, movement), (position, dimension, code))
)
select
  'net_new_mrr' as kpi, m.month, p.* exclude (position, code), n as rows_used, e.entry,
  state(m.month, value) as status, [] as flags
from parts p
join months m using (position)
join entries e using (dimension, code)
where n > 0;
