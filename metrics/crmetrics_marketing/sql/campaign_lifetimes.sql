-- One row per period, campaign with spend in it, and day (and account) before the period's end:
-- spend, or the amount won from the campaign's deals, in the reporting currency.
with active as (
  select distinct p.period_start, p.reading_day, s.campaign_id,
    source_of_campaigns(s.source, s.campaign_id) as campaign_source
  from spend_by_day s
  join period_days p on p.day = s.day
  where s.campaign_id is not null and s.own_amount <> 0
),
flows as (
  select
    source,
    source_of_campaigns(source, campaign_id) as campaign_source,
    campaign_id,
    channel,
    null::varchar as account_id,
    day,
    false as is_revenue,
    null::decimal(28, 10) as revenue,
    amount as spend,
    (own_amount is not null and amount is null)::int as missing_rate,
    0 as missing_amount,
    null::timestamptz as updated_at
  from spend_by_day
  where campaign_id is not null
  union all
  select
    d.source,
    source_of_campaigns(d.source, d.campaign_id),
    d.campaign_id,
    c.channel,
    d.account_id,
    d.close_date,
    true,
    d.revenue,
    null,
    (d.amount is not null and d.revenue is null)::int,
    (d.amount is null)::int,
    d.updated_at
  from campaign_deals d
  left join live_campaigns c
    on c.source = source_of_campaigns(d.source, d.campaign_id) and c.id = d.campaign_id
)
select
  a.period_start,
  f.* exclude (campaign_source),
  sum(f.spend) over (partition by a.period_start, a.campaign_source, a.campaign_id)
    as campaign_spend
from active a
join flows f
  on f.campaign_source = a.campaign_source and f.campaign_id = a.campaign_id
  and f.day < a.reading_day
