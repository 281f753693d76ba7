-- What makes an account a customer, model `field`: one row per account with customer_since_at. A
-- former customer left on the day of its last change, the only date that the source gives; if that
-- is missing or earlier than the start, it became a customer and is one on no day.
create or replace temp view customer_spans as
select
    source,
    id as account_id,
    local_day(customer_since_at) as start_date,
    case
        when account_type = 'former_customer'
        then greatest(local_day(updated_at), local_day(customer_since_at))
    end as end_date
from live_accounts
where customer_since_at is not null
