-- Marketing spend per row and day: (source, id, day, campaign_id, channel, currency, own_amount,
-- amount, updated_at). source and id are those of the row in marketing_spend. A row without a date
-- is spread evenly over the days of its campaign, both ends included, up to the last day asked for; one whose
-- campaign has no dates stands in `undated_spend`. own_amount is in currency; amount in the
-- reporting currency at the rate of the day, null where that is missing.
create or replace temp view spend_by_day as
with parts as (
    select
        source,
        id,
        spend_date as day,
        campaign_id,
        channel,
        currency,
        amount::decimal(28, 10) as own_amount,
        updated_at
    from campaign_spend
    where spend_date is not null
    union all
    select
        source,
        id,
        greatest(start_date, $first_day) + unnest(
            range(0, least(end_date, $last_day) - greatest(start_date, $first_day) + 1)
        )::integer as day,
        campaign_id,
        channel,
        currency,
        (amount / days)::decimal(28, 10) as own_amount,
        updated_at
    from campaign_spend
    where spend_date is null
        and days is not null
)
select
    parts.source,
    parts.id,
    parts.day,
    parts.campaign_id,
    parts.channel,
    parts.currency,
    parts.own_amount,
    case
        when parts.currency is null or parts.currency = $currency then parts.own_amount
        else (parts.own_amount * rates.rate)::decimal(28, 10)
    end as amount,
    parts.updated_at
from parts
left join rates_by_day as rates
    on rates.currency = parts.currency
    and rates.day = parts.day
