-- One row per account with a segment in another currency than the reporting currency.
select distinct source_of_accounts(source, account_id) as source, account_id
from live_subscriptions
where not is_trial and currency <> $reporting_currency
