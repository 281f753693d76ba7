-- Revenue of the deals of campaigns out of what was spent in the month. The channel is that of the
-- campaign, else that of the spend; spend has no segment.
create temp table campaign_deals as
select
  date_trunc('month', o.close_date)::date as month,
  o.campaign_id,
  coalesce(c.channel, '(none)') as channel,
  coalesce(e.entry, '(none)') as segment,
  case when o.is_deleted then 1 when o.is_test then 2 else 0 end as gone,
  (a.id is null and o.account_id is not null) or (c.id is null and o.campaign_id is not null) as is_orphan,
  o.amount::double as stated,
  o.amount::double * case when o.currency <> 'USD' then r.rate else 1 end as amount
from crm.opportunities o
left join rates r on r.currency = o.currency and r.day = o.close_date
left join crm.campaigns c on c.id = o.campaign_id and not c.is_deleted and not c.is_test
left join buyers a on a.id = o.account_id and a.gone = 0
left join entries e on e.dimension = 'segment' and e.code = a.segment
where o.is_won and o.close_date >= date '2024-01-01' and o.close_date <= date '2025-12-15';

insert into answer by name
with earned as (
  select
    month,
    case
      when campaign_id is not null then 'campaign_id' when channel is not null then 'channel'
      when segment is not null then 'segment' else ''
    end as dimension,
    coalesce(campaign_id, channel, segment, '') as entry,
    coalesce(sum(amount) filter (where is_attributed and gone = 0), 0) as amount,
    count(amount) filter (where is_attributed and gone = 0) as amounts,
    sum(amount) filter (where not is_attributed and gone = 0) as unattributed_revenue,
    count(*) filter (where is_attributed and gone = 0 and stated is null) as missing_amount,
    count(*) filter (where is_attributed and gone = 0 and stated is not null and amount is null) as missing_rate,
    count(*) filter (where is_attributed and gone = 0 and is_orphan) as orphan,
    count(*) filter (where is_attributed and gone = 1) as excluded_deleted,
    count(*) filter (where is_attributed and gone = 2) as excluded_test
  from (
    select
      * replace (coalesce(campaign_id, '(none)') as campaign_id), campaign_id is not null as is_attributed
    from campaign_deals
  )
  group by grouping sets ((month), (month, campaign_id), (month, channel), (month, segment))
),
spend_rows as (
  select
    date_trunc('month', s.spend_date)::date as month,
    coalesce(s.campaign_id, '(none)') as campaign_id,
    coalesce(c.channel, s.channel, '(none)') as channel,
    s.amount
  from crm.marketing_spend s
  left join crm.campaigns c on c.id = s.campaign_id
  where not s.is_deleted and not s.is_test and s.spend_date >= date '2024-01-01'
    and s.spend_date <= date '2025-12-15'
),
spent as (
  select
    month,
    case when campaign_id is not null then 'campaign_id' when channel is not null then 'channel' else '' end
      as dimension,
    coalesce(campaign_id, channel, '') as entry,
    sum(amount)::double as spend,
    count(amount) as rows_spent
  from spend_rows
  group by grouping sets ((month), (month, campaign_id), (month, channel))
),
both_sides as (
  select * from earned full join spent using (month, dimension, entry) where dimension <> 'segment'
  union all by name
  select e.*, s.spend, s.rows_spent
  from earned e
  left join spent s on s.month = e.month and s.dimension = ''
  where e.dimension = 'segment' and e.amounts > 0
)
select
  'marketing_roi' as kpi, month, dimension, entry,
  case when spend > 0 then coalesce(amount, 0) / spend end as value,
  coalesce(amount, 0) as numerator, coalesce(spend, 0) as denominator,
  coalesce(amounts, 0) as n, greatest(amounts, rows_spent) as rows_used,
  state(month, value) as status, marks(month, value, null) as flags,
  orphan, unattributed_revenue, missing_amount, missing_rate,
  excluded_deleted, excluded_test
from both_sides
where amounts > 0 or rows_spent > 0;
