-- One row per period and spend that no day can be given to: it belongs to no period, so that each
-- one says what is missing.
select p.period_start, u.source, u.id, u.campaign_id, u.channel, u.amount
from undated_spend u
cross join periods p
