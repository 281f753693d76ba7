-- One row per period, customer lost by its snapshot day and product: all revenue up to that day.
with rated as (
  select currency, day, sum(rate) over (partition by currency order by day) as rate_total
  from rates_by_day
),
subscribed as (
  select
    source_of_accounts(s.source, s.account_id) as source,
    s.account_id,
    s.product_id,
    s.start_date as day,
    case
      when s.currency is null or s.currency = $reporting_currency
        then s.mrr::double * (s.end_date - s.start_date)
      else s.mrr::double * (b.rate_total - coalesce(a.rate_total, 0))
    end / 30.4375 as amount
  from live_subscriptions s
  left join rated b on b.currency = s.currency and b.day = s.end_date - 1
  left join rated a on a.currency = s.currency and a.day = s.start_date - 1
  where $customer_model = 'subscription' and not s.is_trial and s.end_date > s.start_date
),
purchased as (
  select
    source_of_accounts(o.source, o.account_id) as source,
    o.account_id,
    o.product_id,
    o.booked_on as day,
    case
      when o.currency is null or o.currency = $reporting_currency then o.amount::double
      else o.amount::double * r.rate
    end as amount
  from order_parts o
  left join rates_by_day r on r.currency = o.currency and r.day = o.rate_day
  where $customer_model <> 'subscription'
),
revenues as (
  select * from subscribed
  union all
  select * from purchased
),
lost as (
  -- Whose spells have all ended; a spell that begins later is not known on the snapshot day.
  select p.period_start, p.snapshot_day, c.source, c.account_id
  from customer_spells c
  join periods p on c.start_date <= p.snapshot_day
  group by p.period_start, p.snapshot_day, c.source, c.account_id
  having max(coalesce(c.end_date, date 'infinity')) <= p.snapshot_day
)
select
  l.period_start,
  l.source,
  l.account_id,
  r.product_id,
  sum(r.amount) as amount,
  count(*) filter (where r.day is not null and r.amount is null) as missing_rate
from lost l
left join revenues r
  on r.source = l.source and r.account_id = l.account_id and r.day <= l.snapshot_day
group by l.period_start, l.source, l.account_id, r.product_id
