-- One row per period, account and product with a paid segment in a currency with a rate, at the
-- opening or at the closing.
-- excluded: subscriptions
select
  v.period_start,
  source_of_accounts(v.source, v.account_id) as source,
  v.account_id,
  v.product_id,
  coalesce(bool_or(
    v.opening_paid > 0
    and (v.currency is null or v.currency = $reporting_currency or o.rate is not null)
  ), false) as is_opening,
  coalesce(bool_or(
    v.closing_paid > 0
    and (v.currency is null or v.currency = $reporting_currency or c.rate is not null)
  ), false) as is_closing
from subscribed_mrr v
join periods p on p.period_start = v.period_start
left join rates_by_day o on o.currency = v.currency and o.day = v.period_start - 1
left join rates_by_day c on c.currency = v.currency and c.day = p.snapshot_day
group by all
