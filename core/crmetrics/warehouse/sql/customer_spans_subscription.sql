-- What makes an account a customer, model `subscription`: one row per paid segment of a
-- subscription. source is that of the account; end_date is the first day without service, null =
-- open. Spans of one account may touch and overlap; `customer_spells` joins them.
create or replace temp view customer_spans as
select
    source_of_accounts(source, account_id) as source,
    account_id,
    start_date,
    end_date
from live_subscriptions
where not is_trial
    and mrr > 0
    and account_id is not null
    and start_date is not null
    and (end_date is null or end_date > start_date)
