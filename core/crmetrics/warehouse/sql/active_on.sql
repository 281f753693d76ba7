-- The accounts that are customers on a day: (source, account_id), each once.
create or replace temp macro active_on(day) as table
select distinct source, account_id
from customer_cover
where start_date <= day
    and (end_date is null or end_date > day)
