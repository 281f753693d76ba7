-- Revenue of the deals of campaigns out of what was spent in the month. The channel is that of the
-- campaign, else that of the spend; spend has no segment.
insert into answer
with spent as (
  select
    date_trunc('month', s.spend_date)::date as month,
    s.campaign_id,
    coalesce(c.channel, s.channel) as channel,
    sum(s.amount)::double as spend
  from crm.marketing_spend s
  left join crm.campaigns c on c.id = s.campaign_id
  where not s.is_deleted and not s.is_test and s.spend_date >= date '2024-01-01'
    and s.spend_date <= date '2025-12-15'
  group by all
),
won as (
  select
    date_trunc('month', o.close_date)::date as month,
    o.campaign_id,
    c.channel,
    coalesce(a.segment, '(none)') as segment,
    sum(case when o.currency is null or o.currency = 'USD' then o.amount else o.amount * r.rate end)::double as amount
  from crm.opportunities o
  left join rates r on r.currency = o.currency and r.day = o.close_date
  left join crm.campaigns c on c.id = o.campaign_id
  left join accounts a on a.id = o.account_id
  where not o.is_deleted and not o.is_test and o.is_won and o.campaign_id is not null
    and o.close_date >= date '2024-01-01' and o.close_date <= date '2025-12-15'
  group by all
),
both_sides as (
  select month, campaign_id, channel, null as segment, spend, null as amount from spent
  union all
  select month, campaign_id, channel, segment, null, amount from won
),
summed as (
  select
    month, coalesce(campaign_id, '(none)') as campaign_id, coalesce(channel, '(none)') as channel,
    sum(spend) as spend, sum(amount) as amount
  from both_sides
  group by grouping sets ((month), (month, coalesce(campaign_id, '(none)')), (month, coalesce(channel, '(none)')))
),
by_segment as (
  select w.month, w.segment, sum(w.amount) as amount, any_value(t.spend) as spend
  from won w
  join (select month, sum(spend) as spend from spent group by month) t on t.month = w.month
  group by w.month, w.segment
)
select
  'marketing_roi', month,
  case when campaign_id is not null then 'campaign_id' when channel is not null then 'channel' else '' end,
  coalesce(campaign_id, channel, ''), null, amount / spend
from summed
where spend > 0
union all
select 'marketing_roi', month, 'segment', segment, null, amount / spend
from by_segment
where spend > 0;
