-- One row per period and deal that counts towards a quota: won in it (at the rate of the close
-- date), or open and expected to close from as_of to its end (at the rate of the snapshot day).
select
  p.period_start,
  o.source,
  o.owner_id,
  o.account_id,
  o.is_won,
  case
    when not o.is_won then null
    when o.currency is null or o.currency = $reporting_currency then o.amount::decimal(28, 10)
    else (o.amount * won.rate)::decimal(28, 10)
  end as won_amount,
  case
    when o.is_won then null
    when o.currency is null or o.currency = $reporting_currency then o.amount::decimal(28, 10)
    else (o.amount * opened.rate)::decimal(28, 10)
  end as open_amount,
  o.probability,
  (o.amount is null)::int as missing_amount,
  (
    o.amount is not null and o.currency <> $reporting_currency
    and case when o.is_won then won.rate else opened.rate end is null
  )::int as missing_rate
from live_opportunities o
join period_days p on p.day = o.close_date
left join rates_by_day won on won.currency = o.currency and won.day = o.close_date
left join rates_by_day opened on opened.currency = o.currency and opened.day = p.snapshot_day
where o.is_won or (not o.is_closed and o.close_date >= $as_of_day)
