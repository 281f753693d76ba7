-- Exchange rates for every day: (currency, day, rate). A rate holds until the next one of its
-- currency, the last one to the end. A rate that is no positive number is none. The first
-- source by name wins where two state a rate for one day.
create or replace temp table rates_by_day as
with stated as (
    select currency, valid_from, arg_min(rate, source) as rate
    from live_exchange_rates
    where rate > 0
        and isfinite(rate)
        and valid_from is not null
        and currency <> $currency
    group by currency, valid_from
),
spans as (
    select
        currency,
        greatest(valid_from, $first_day) as first_day,
        coalesce(
            lead(valid_from) over (partition by currency order by valid_from),
            $last_day + 1
        ) as next_day,
        rate
    from stated
)
select
    currency,
    first_day + unnest(
        range(0, least(next_day, $last_day + 1) - first_day)
    )::integer as day,
    rate
from spans
