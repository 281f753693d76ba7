-- Accounts by the day on which they became customers, apart for those that were left out: with a
-- deleted (1) or test (2) subscription, or as an account that is one (3). The lead source is that of
-- the account's earliest lead.
insert into answer by name
with firsts as (
  select
    s.account_id,
    case when s.is_deleted then 1 when s.is_test then 2 when a.gone > 0 then 3 else 0 end as gone,
    a.id is null and s.account_id is not null as is_orphan,
    coalesce(a.segment, 0) as segment,
    coalesce(a.country, 0) as country,
    min(s.start_date) as day
  from crm.subscriptions s
  left join buyers a on a.id = s.account_id
  where not s.is_trial and s.mrr > 0 and (s.end_date is null or s.end_date > s.start_date)
  group by all
  having day >= date '2024-01-01' and day < date '2025-12-16'
),
first_leads as (
  select l.account_id, arg_min_null(l.lead_source, struct_pack(a := l.created_at, b := l.id)) as lead_source
  from crm.leads l
  semi join firsts f on f.account_id = l.account_id
  where not l.is_deleted and not l.is_test
  group by l.account_id
),
counted as (
  select
    date_trunc('month', f.day)::date as month, f.segment, f.country,
    coalesce(l.lead_source, '(none)') as lead_source,
    count(*) filter (where gone = 0) as customers,
    count(*) filter (where gone = 0 and is_orphan) as orphan,
    count(*) filter (where gone = 1) as deleted,
    count(*) filter (where gone = 2) as test,
    count(*) filter (where gone = 3) as parent
  from firsts f
  left join first_leads l on l.account_id = f.account_id
  group by grouping sets ((month), (month, f.segment), (month, f.country), (month, coalesce(l.lead_source, '(none)')))
)
select
  'new_customers' as kpi, month,
  case
    when segment is not null then 'segment' when country is not null then 'country'
    when lead_source is not null then 'lead_source' else ''
  end as dimension,
  coalesce(lead_source, e.entry) as entry,
  customers as value, customers as n, customers as rows_used, state(month, value) as status,
  [] as flags, orphan, deleted as excluded_deleted, test as excluded_test, parent as excluded_parent
from counted c
left join entries e
  on e.dimension = case when segment is not null then 'segment' when country is not null then 'country' else '' end
  and e.code = coalesce(segment, country, 0)
where customers > 0;
