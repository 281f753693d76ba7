-- One row per account that ever was a customer: (source, account_id, first_day).
create or replace temp view customer_first_days as
select source, account_id, min(start_date) as first_day
from customer_spans
group by source, account_id
