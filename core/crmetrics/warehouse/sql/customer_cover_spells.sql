-- The days on which accounts are customers. With days of grace a gap counts as well, so the spells
-- themselves are needed.
create or replace temp view customer_cover as
select source, account_id, start_date, end_date
from customer_spells
