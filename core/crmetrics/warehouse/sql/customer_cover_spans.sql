-- The days on which accounts are customers, the cheap way: the same days as `customer_spells`, but
-- the rows of one account may touch and overlap.
create or replace temp view customer_cover as
select source, account_id, start_date, end_date
from customer_spans
