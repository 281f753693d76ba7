-- One row per period and owner: the amount won in the period, at the rates of the close dates.
select
  p.period_start,
  o.owner_id,
  coalesce(
    sum(
      case
        when o.currency is null or o.currency = $reporting_currency then o.amount::decimal(28, 10)
        else (o.amount * r.rate)::decimal(28, 10)
      end
    ),
    0
  ) as won_amount
from live_opportunities o
join period_days p on p.day = o.close_date
left join rates_by_day r on r.currency = o.currency and r.day = o.close_date
where o.is_won
group by p.period_start, o.owner_id
