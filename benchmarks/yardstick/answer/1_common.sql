-- The months, the windows that KPIs look at, exchange rates by day, and small numbers in place of
-- what rows are grouped by: sums by all of them at once are few, and are added up to each afterwards.
create temp table months as
select
  range::utinyint as position,
  (date '2024-01-01' + to_months(range::integer))::date as month,
  (date '2024-02-01' + to_months(range::integer))::date as month_end,
  least(month_end, date '2025-12-16') as read_to,
  read_to - 1 as snapshot_day
from range(24);

-- The month itself, the same number of days before it, and the 90 days to its end; and the stretches
-- of days between all their bounds, of which each window is made.
create temp table windows as
with bounded as (
  select 'own' as kind, position, month as first_day, month_end as end_day from months
  union all
  select
    'previous', position, (month - interval 1 month)::date,
    case
      when read_to < month_end then (month - interval 1 month)::date + (read_to - month)::integer
      else month
    end
  from months
  union all
  select 'trailing', position, month_end - 90, month_end from months
),
bounds as (
  select distinct unnest([first_day, end_day]) as day from bounded
),
stretches as (
  select row_number() over (order by day) as stretch, day, lead(day) over (order by day) as next from bounds
)
select kind, position, stretch::utinyint as stretch, s.day, s.next
from bounded b
join stretches s on s.day >= b.first_day and s.day < b.end_day;

create temp table stretch_days as
select distinct stretch, day + unnest(range(0, next - day))::integer as day from windows;

create temp table rates as
select currency, valid_from + unnest(range(0, next_from - valid_from))::integer as day, rate
from (
  select
    currency,
    valid_from,
    lead(valid_from, 1, date '2026-01-02') over (partition by currency order by valid_from) as next_from,
    rate
  from crm.exchange_rates
)
where next_from > date '2023-11-01';

-- 0 is a row whose dimension is empty.
create temp table entries as
with named as (
  select distinct 'team' as dimension, team as entry from crm.users
  union
  select distinct 'segment', segment from crm.accounts
  union
  select distinct 'country', country from crm.accounts
  union
  select distinct 'lead_source', lead_source from crm.opportunities
  union
  select distinct 'account.industry', industry from crm.accounts
  union
  select distinct 'channel', channel from crm.cases
  union
  select distinct 'priority', priority from crm.cases
  union
  select distinct 'currency', currency from crm.opportunities where currency <> 'USD'
)
select
  dimension, entry, row_number() over (partition by dimension order by entry)::utinyint as code
from named
where entry is not null
union all
select unnest(['team', 'segment', 'country', 'lead_source', 'account.industry', 'channel', 'priority']), '(none)', 0
union all
select '', '', 0;

create temp table owners as
select u.id, coalesce(e.code, 0)::utinyint as team
from crm.users u
left join entries e on e.dimension = 'team' and e.entry = u.team
where not u.is_deleted and not u.is_test;

create temp table buyers as
select
  a.id,
  case when a.is_deleted then 1 when a.is_test then 2 else 0 end::utinyint as gone,
  coalesce(s.code, 0)::utinyint as segment,
  coalesce(c.code, 0)::utinyint as country,
  coalesce(i.code, 0)::utinyint as industry
from crm.accounts a
left join entries s on s.dimension = 'segment' and s.entry = a.segment
left join entries c on c.dimension = 'country' and c.entry = a.country
left join entries i on i.dimension = 'account.industry' and i.entry = a.industry;

create temp table answer (
  kpi varchar, month date, dimension varchar, entry varchar, part varchar, value double,
  numerator double, denominator double, n bigint, interval_low double, interval_high double,
  status varchar, flags varchar[],
  rows_used bigint, orphan bigint, missing_amount bigint, missing_rate bigint, zero_amount bigint,
  invalid_duration bigint, running bigint, unanswered bigint, missing_forecast bigint,
  unattributed_revenue double, missing_score bigint, out_of_scale bigint, excluded_deleted bigint, excluded_test bigint,
  excluded_parent bigint, excluded_spam bigint
);

-- What a month and a value say by themselves.
create temp macro state(month, value) as
  case when value is null then 'no_data' when month = date '2025-12-01' then 'partial' else 'ok' end;
create temp macro marks(month, value, size) as list_filter([
  case when value is null and month = date '2025-12-01' then 'partial' end,
  case when size < 20 then 'low_sample' end
], lambda mark: mark is not null);
create temp macro wilson(part, whole, side) as (
  part / whole + 3.841458820694124 / (2 * whole) + side * 1.959963984540054
    * sqrt(part / whole * (1 - part / whole) / whole + 3.841458820694124 / (4 * whole * whole))
) / (1 + 3.841458820694124 / whole);
