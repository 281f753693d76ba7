-- One row per period and segment with service in it: the recurring revenue of its days up to the
-- snapshot, a day's being mrr / 30.4375 at the rate of that day. Days without a rate add nothing.
-- excluded: subscriptions
with rated as (
  -- Running sums turn the rates of all days between two days into a difference.
  select
    currency,
    day,
    sum(rate) over currency_days as rate_total,
    count(*) over currency_days as day_total
  from rates_by_day
  window currency_days as (partition by currency order by day)
),
stays as (
  select
    p.period_start,
    s.source,
    s.id,
    s.account_id,
    s.product_id,
    s.currency,
    s.mrr,
    s.updated_at,
    greatest(s.start_date, p.period_start) as first_day,
    least(coalesce(s.end_date, p.snapshot_day + 1), p.snapshot_day + 1) as next_day
  from live_subscriptions s
  join periods p
    on s.start_date <= p.snapshot_day
    and p.period_start <= p.snapshot_day
    and (s.end_date is null or s.end_date > p.period_start)
  where not s.is_trial
)
select
  s.*,
  case
    when s.currency is null or s.currency = $reporting_currency
      then s.mrr::double * (s.next_day - s.first_day)
    else s.mrr::double * (b.rate_total - coalesce(a.rate_total, 0))
  end / 30.4375 as amount,
  coalesce(
    s.currency <> $reporting_currency
    and coalesce(b.day_total, 0) - coalesce(a.day_total, 0) < s.next_day - s.first_day,
    false
  )::int as missing_rate
from stays s
left join rated b on b.currency = s.currency and b.day = s.next_day - 1
left join rated a on a.currency = s.currency and a.day = s.first_day - 1
where s.next_day > s.first_day
