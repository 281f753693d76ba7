-- What makes an account a customer, model `purchase`: one row per counted order that was not
-- refunded whole, for the purchase days from its day. source is that of the account. Spans of
-- one account may touch and overlap; `customer_spells` joins them.
create or replace temp view customer_spans as
select
    source_of_accounts(source, account_id) as source,
    account_id,
    rate_day as start_date,
    rate_day + $purchase_days as end_date
from counted_orders
where not is_refund
    and not is_fully_refunded
    and account_id is not null
    and rate_day is not null
