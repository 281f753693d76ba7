-- Retention, churn and movements of MRR from one row per account: the MRR on the last day before the
-- months and on the last day of each, one conditional sum each, unfolded after the join. Every amount
-- is in US dollars and above zero, so an account is a customer while it has MRR.
create temp table account_months as
with vectors as (
  select
    s.account_id,
    min(start_date) filter (where end_date is null or end_date > start_date) as first_day,
    [
      sum(mrr) filter (where start_date <= date '2023-12-31' and (end_date is null or end_date > date '2023-12-31')),
      sum(mrr) filter (where start_date <= date '2024-01-31' and (end_date is null or end_date > date '2024-01-31')),
      sum(mrr) filter (where start_date <= date '2024-02-29' and (end_date is null or end_date > date '2024-02-29')),
      sum(mrr) filter (where start_date <= date '2024-03-31' and (end_date is null or end_date > date '2024-03-31')),
      sum(mrr) filter (where start_date <= date '2024-04-30' and (end_date is null or end_date > date '2024-04-30')),
      sum(mrr) filter (where start_date <= date '2024-05-31' and (end_date is null or end_date > date '2024-05-31')),
      sum(mrr) filter (where start_date <= date '2024-06-30' and (end_date is null or end_date > date '2024-06-30')),
      sum(mrr) filter (where start_date <= date '2024-07-31' and (end_date is null or end_date > date '2024-07-31')),
      sum(mrr) filter (where start_date <= date '2024-08-31' and (end_date is null or end_date > date '2024-08-31')),
      sum(mrr) filter (where start_date <= date '2024-09-30' and (end_date is null or end_date > date '2024-09-30')),
      sum(mrr) filter (where start_date <= date '2024-10-31' and (end_date is null or end_date > date '2024-10-31')),
      sum(mrr) filter (where start_date <= date '2024-11-30' and (end_date is null or end_date > date '2024-11-30')),
      sum(mrr) filter (where start_date <= date '2024-12-31' and (end_date is null or end_date > date '2024-12-31')),
      sum(mrr) filter (where start_date <= date '2025-01-31' and (end_date is null or end_date > date '2025-01-31')),
      sum(mrr) filter (where start_date <= date '2025-02-28' and (end_date is null or end_date > date '2025-02-28')),
      sum(mrr) filter (where start_date <= date '2025-03-31' and (end_date is null or end_date > date '2025-03-31')),
      sum(mrr) filter (where start_date <= date '2025-04-30' and (end_date is null or end_date > date '2025-04-30')),
      sum(mrr) filter (where start_date <= date '2025-05-31' and (end_date is null or end_date > date '2025-05-31')),
      sum(mrr) filter (where start_date <= date '2025-06-30' and (end_date is null or end_date > date '2025-06-30')),
      sum(mrr) filter (where start_date <= date '2025-07-31' and (end_date is null or end_date > date '2025-07-31')),
      sum(mrr) filter (where start_date <= date '2025-08-31' and (end_date is null or end_date > date '2025-08-31')),
      sum(mrr) filter (where start_date <= date '2025-09-30' and (end_date is null or end_date > date '2025-09-30')),
      sum(mrr) filter (where start_date <= date '2025-10-31' and (end_date is null or end_date > date '2025-10-31')),
      sum(mrr) filter (where start_date <= date '2025-11-30' and (end_date is null or end_date > date '2025-11-30')),
      sum(mrr) filter (where start_date <= date '2025-12-15' and (end_date is null or end_date > date '2025-12-15'))
    ]::double[] as mrr
  from crm.subscriptions s
  anti join (select id from crm.accounts where is_deleted or is_test) g on g.id = s.account_id
  where not s.is_deleted and not s.is_test and not s.is_trial
  group by s.account_id
),
unfolded as (
  select
    v.first_day,
    coalesce(a.segment, '(none)') as segment,
    coalesce(a.country, '(none)') as country,
    coalesce(a.industry, '(none)') as industry,
    unnest(range(24)) as position,
    unnest(v.mrr[:24]) as opening,
    unnest(v.mrr[2:]) as closing
  from vectors v
  left join accounts a on a.id = v.account_id
)
select
  m.month, u.segment, u.country, u.industry,
  count(opening) as customers,
  count(*) filter (where opening > 0 and closing > 0) as kept,
  sum(opening) as opening,
  sum(least(closing, opening)) filter (where opening > 0 and closing > 0) as retained,
  sum(closing) filter (where opening > 0) as net,
  sum(closing) filter (where opening is null and not coalesce(first_day < m.month, false)) as new,
  sum(closing) filter (where opening is null and first_day < m.month) as reactivation,
  -sum(opening) filter (where closing is null) as churn,
  sum(closing - opening) filter (where closing > opening) as expansion,
  sum(closing - opening) filter (where closing < opening) as contraction
from unfolded u
join months m on m.position = u.position
where opening is not null or closing is not null
group by grouping sets ((month), (month, segment), (month, country), (month, industry));

insert into answer
with named as (
  select
    *,
    case
      when segment is not null then 'segment' when country is not null then 'country'
      when industry is not null then 'account.industry' else ''
    end as dimension,
    coalesce(segment, country, industry, '') as entry
  from account_months
)
select
  unnest([
    'customer_retention_rate', 'customer_churn_rate', 'gross_revenue_retention',
    'net_revenue_retention', 'net_new_mrr', 'net_new_mrr', 'net_new_mrr', 'net_new_mrr',
    'net_new_mrr', 'net_new_mrr'
  ]),
  month, dimension, entry,
  unnest([null, null, null, null, null, 'new', 'reactivation', 'churn', 'expansion', 'contraction']),
  unnest([
    kept / customers, 1 - kept / customers, coalesce(retained, 0) / opening,
    coalesce(net, 0) / opening,
    coalesce(new, 0) + coalesce(reactivation, 0) + coalesce(churn, 0) + coalesce(expansion, 0)
      + coalesce(contraction, 0),
    new, reactivation, churn, expansion, contraction
  ])
from named;
