-- First customer days of accounts with a paid subscription; the lead source is that of the
-- account's earliest lead.
insert into answer
with firsts as (
  select s.account_id, min(s.start_date) as day
  from crm.subscriptions s
  anti join (select id from crm.accounts where is_deleted or is_test) g on g.id = s.account_id
  where not s.is_deleted and not s.is_test and not s.is_trial and s.mrr > 0
    and (s.end_date is null or s.end_date > s.start_date)
  group by s.account_id
  having day >= date '2024-01-01' and day < date '2026-01-01'
),
first_leads as (
  select l.account_id, arg_min_null(l.lead_source, struct_pack(a := l.created_at, b := l.id)) as lead_source
  from crm.leads l
  semi join firsts f on f.account_id = l.account_id
  where not l.is_deleted and not l.is_test
  group by l.account_id
),
named as (
  select
    date_trunc('month', f.day)::date as month,
    coalesce(a.segment, '(none)') as segment,
    coalesce(l.lead_source, '(none)') as lead_source,
    coalesce(a.country, '(none)') as country
  from firsts f
  left join accounts a on a.id = f.account_id
  left join first_leads l on l.account_id = f.account_id
),
counted as (
  select month, segment, lead_source, country, count(*) as customers
  from named
  group by grouping sets ((month), (month, segment), (month, lead_source), (month, country))
)
select
  'new_customers', month,
  case
    when segment is not null then 'segment' when lead_source is not null then 'lead_source'
    when country is not null then 'country' else ''
  end,
  coalesce(segment, lead_source, country, ''), null, customers
from counted;
