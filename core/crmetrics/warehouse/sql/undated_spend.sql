-- Marketing spend that no day can be given to: no date, and no campaign with both dates. Columns as
-- in `spend_by_day` without the day; amount at the rate of the as_of day.
create or replace temp view undated_spend as
select
    spend.source,
    spend.id,
    spend.campaign_id,
    spend.channel,
    spend.currency,
    spend.amount::decimal(28, 10) as own_amount,
    case
        when spend.currency is null or spend.currency = $currency
        then spend.amount::decimal(28, 10)
        else (spend.amount * rates.rate)::decimal(28, 10)
    end as amount,
    spend.updated_at
from campaign_spend as spend
left join rates_by_day as rates
    on rates.currency = spend.currency
    and rates.day = $as_of_day
where spend.spend_date is null
    and spend.days is null
