-- One row per cost and day, as operating_costs, but of the company as a whole: what the ledger booked
-- (salaries, rent) belongs to no channel and no campaign, so no cost here is split by them.
select
  source,
  id,
  day,
  category,
  own_amount,
  amount,
  updated_at
from operating_costs
