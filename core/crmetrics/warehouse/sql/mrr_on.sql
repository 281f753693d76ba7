-- Recurring revenue per account on a day: (source, account_id, mrr, missing_rate). mrr is in the
-- reporting currency at the rate of rate_day (default: the day itself); segments without a rate are
-- left out and counted in missing_rate, mrr is null when that leaves none.
create or replace temp macro mrr_on(day, rate_day := null) as table
select
    source_of_accounts(subscriptions.source, subscriptions.account_id) as source,
    subscriptions.account_id,
    sum(
        case
            when subscriptions.currency is null or subscriptions.currency = $currency
            then subscriptions.mrr::decimal(28, 10)
            else (subscriptions.mrr * rates.rate)::decimal(28, 10)
        end
    ) as mrr,
    count(*) filter (
        where subscriptions.currency <> $currency and rates.rate is null
    ) as missing_rate
from live_subscriptions as subscriptions
left join rates_by_day as rates
    on rates.currency = subscriptions.currency
    and rates.day = coalesce(rate_day, day)
where not subscriptions.is_trial
    and subscriptions.mrr is not null
    and subscriptions.account_id is not null
    and subscriptions.start_date <= day
    and (subscriptions.end_date is null or subscriptions.end_date > day)
group by all
