-- The months reported, what leaves with deleted and test records, and exchange rates by day. The
-- months hold the windows that KPIs look at: the month itself, the same number of days before it,
-- and the 90 days to its end.
create temp table months as
select
  range as position,
  (date '2024-01-01' + to_months(range::integer))::date as month,
  (date '2024-02-01' + to_months(range::integer))::date as month_end,
  least((date '2024-02-01' + to_months(range::integer))::date, date '2025-12-16') as read_to,
  read_to - 1 as snapshot_day
from range(24);

create temp table windows as
select 'own' as kind, month, month as first_day, month_end as end_day from months
union all
select
  'previous', month, (month - interval 1 month)::date,
  case when read_to < month_end then (month - interval 1 month)::date + (read_to - month)::integer else month end
from months
union all
select 'trailing', month, month_end - 90, month_end from months;

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

create temp table gone_deals as
select id from crm.opportunities where is_deleted or is_test;

create temp view accounts as
select * from crm.accounts where not is_deleted and not is_test;

create temp table answer (
  kpi varchar, month date, dimension varchar, entry varchar, part varchar, value double
);
