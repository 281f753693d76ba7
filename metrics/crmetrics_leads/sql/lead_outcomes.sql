-- One row per lead: the day it became a customer and how many days that took (fractions where the
-- instant is known, else whole local days; both null without one), and whether its account was a
-- customer before the day it was created.
with leads as (
  select
    *,
    source_of_accounts(source, account_id) as account_source,
    source_of_opportunities(source, converted_opportunity_id) as opportunity_source
  from live_leads
),
wins as (
  select source, id, close_date, updated_at
  from live_opportunities
  where is_won and close_date <= $as_of_day
)
select
  l.* exclude (updated_at),
  coalesce(local_day(l.became_customer_at), w.close_date) as customer_day,
  case
    when l.became_customer_at is not null
      then (epoch_us(l.became_customer_at) - epoch_us(l.created_at)) / 86400e6
    else (w.close_date - local_day(l.created_at))::double
  end as days_to_customer,
  coalesce(c.first_day < local_day(l.created_at), false) as was_customer,
  greatest(l.updated_at, w.updated_at) as updated_at
from leads l
left join wins w on w.source = l.opportunity_source and w.id = l.converted_opportunity_id
left join customer_first_days c on c.source = l.account_source and c.account_id = l.account_id
