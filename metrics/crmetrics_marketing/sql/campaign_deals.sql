-- One row per won deal with a campaign; revenue is its amount in the reporting currency at the rate
-- of the close date.
select
  o.source,
  o.id,
  o.account_id,
  o.campaign_id,
  o.close_date,
  o.amount,
  case
    when o.currency is null or o.currency = $reporting_currency then o.amount::decimal(28, 10)
    else (o.amount * r.rate)::decimal(28, 10)
  end as revenue,
  o.updated_at
from live_opportunities o
left join rates_by_day r on r.currency = o.currency and r.day = o.close_date
where o.is_won and o.campaign_id is not null
