-- materialized
-- One row per period and owner: the amount won in the period, at the rates of the close dates.
-- source is that of the owner.
with wins as (
  select
    p.period_start,
    source_of_users(o.source, o.owner_id) as source,
    o.owner_id,
    o.amount,
    case
      when o.currency is null or o.currency = $reporting_currency then o.amount::decimal(28, 10)
      else (o.amount * r.rate)::decimal(28, 10)
    end as won_amount
  from live_opportunities o
  join period_days p on p.day = o.close_date
  left join rates_by_day r on r.currency = o.currency and r.day = o.close_date
  where o.is_won
)
select
  period_start,
  source,
  owner_id,
  coalesce(sum(won_amount), 0) as won_amount,
  count(*) filter (where amount is null) as missing_amount,
  count(*) filter (where amount is not null and won_amount is null) as missing_rate
from wins
group by period_start, source, owner_id
