-- One row per segment without a scheduled cancellation: open, or followed by a segment of the same
-- subscription that starts on the day it ends.
-- excluded: subscriptions
select s.*
from live_subscriptions s
where s.end_date is null
  or exists (
    select 1 from live_subscriptions f
    where f.source = s.source and f.subscription_id = s.subscription_id
      and f.start_date = s.end_date
  )
