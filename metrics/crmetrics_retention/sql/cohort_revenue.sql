-- One row per period, month k, account that became a customer in the period and product: recurring
-- revenue on its first customer day and on the measuring day, both at the rate of the former.
-- excluded: customers
with segments as (
  select
    d.period_start,
    s.source,
    s.account_id,
    s.product_id,
    s.start_date,
    s.end_date,
    f.first_day,
    s.start_date <= f.first_day and (s.end_date is null or s.end_date > f.first_day) as is_first,
    s.mrr is not null as is_known,
    case
      when s.currency is null or s.currency = $reporting_currency then s.mrr::decimal(28, 10)
      else (s.mrr * r.rate)::decimal(28, 10)
    end as mrr
  from customer_first_days f
  join period_days d on d.day = f.first_day
  join subscription_segments s on s.source = f.source and s.account_id = f.account_id
  left join rates_by_day r on r.currency = s.currency and r.day = f.first_day
)
select
  s.period_start,
  s.source,
  s.account_id,
  s.product_id,
  c.k_text as k,
  case when s.is_first then s.mrr end as first_mrr,
  case
    when s.start_date <= c.measured_on and (s.end_date is null or s.end_date > c.measured_on)
    then s.mrr
  end as measured_mrr,
  (s.is_first and s.is_known and s.mrr is null)::integer as unrated
from segments s
join cohort_cells c on c.period_start = s.period_start
where s.is_first
  or (s.start_date <= c.measured_on and (s.end_date is null or s.end_date > c.measured_on))
