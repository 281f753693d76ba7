-- One row per period and account with a counted order in it: revenue of costed lines net of refunds,
-- less the cost of the goods, less its share of the period's service expenses by closed cases.
-- result is null where none of the account's revenue has a rate.
with buyers as (
  select distinct
    d.period_start,
    source_of_accounts(o.source, o.account_id) as source,
    o.account_id
  from counted_orders o
  join period_days d on d.day = o.rate_day
  where not o.is_refund
    and o.account_id is not null
),
parts as (
  select
    d.period_start,
    source_of_accounts(o.source, o.account_id) as source,
    o.account_id,
    struct_pack(source := o.source, id := o.id) as order_key,
    o.is_costed,
    o.cost,
    o.amount as own_amount,
    case
      when o.currency is null or o.currency = $reporting_currency then o.amount
      else (o.amount * r.rate)::decimal(28, 10)
    end as amount
  from order_parts o
  join period_days d on d.day = o.booked_on
  left join rates_by_day r on r.currency = o.currency and r.day = o.rate_day
),
sold as (
  select
    period_start,
    source,
    account_id,
    count(amount) as rated_parts,
    coalesce(sum(amount) filter (where is_costed), 0) as revenue,
    coalesce(sum(amount) filter (where not is_costed), 0) as uncosted_revenue,
    coalesce(sum(cost) filter (where amount is not null), 0) as cost,
    count(distinct order_key) filter (
      where amount is null and own_amount is not null
    ) as missing_rate,
    count(distinct order_key) filter (where own_amount is null) as missing_amount
  from parts
  group by period_start, source, account_id
),
service_costs as (
  select
    d.period_start,
    sum(
      case
        when e.currency is null or e.currency = $reporting_currency then e.amount::decimal(28, 10)
        else (e.amount * r.rate)::decimal(28, 10)
      end
    ) as amount
  from live_expenses e
  join period_days d on d.day = e.expense_date
  left join rates_by_day r on r.currency = e.currency and r.day = e.expense_date
  where e.category = 'service'
  group by d.period_start
),
closed_cases as (
  select
    d.period_start,
    source_of_accounts(c.source, c.account_id) as source,
    c.account_id,
    count(*) as cases
  from live_cases c
  join period_days d on d.day = local_day(c.closed_at)
  where c.is_closed
  group by all
),
served as (
  select
    c.period_start,
    c.source,
    c.account_id,
    s.amount * c.cases / sum(c.cases) over (partition by c.period_start) as amount
  from closed_cases c
  left join service_costs s on s.period_start = c.period_start
)
select
  b.period_start,
  b.source,
  b.account_id,
  case
    when s.rated_parts > 0 then (s.revenue - s.cost)::double - coalesce(v.amount, 0)::double
  end as result,
  s.uncosted_revenue,
  s.missing_rate,
  s.missing_amount
from buyers b
left join sold s
  on s.period_start = b.period_start and s.source = b.source and s.account_id = b.account_id
left join served v
  on v.period_start = b.period_start and v.source = b.source and v.account_id = b.account_id
