-- One row per lead that counts: its part of the amount of the deal it was converted into, once that
-- is won; leads of one deal share it equally. days_to_win = local days from the lead to the close.
with counted_leads as (
  select *, source_of_opportunities(source, converted_opportunity_id) as opportunity_source
  from live_leads
  where lead_source is null or not list_contains($exclude_lead_sources::varchar[], lead_source)
),
sharing_leads as (
  select
    *,
    count(*) over (partition by opportunity_source, converted_opportunity_id) as leads_of_deal
  from counted_leads
)
select
  l.* exclude (updated_at),
  case
    when l.leads_of_deal = 1 then o.amount::decimal(28, 10)
    else (o.amount / l.leads_of_deal)::decimal(28, 10)
  end as amount,
  o.currency,
  o.close_date,
  o.close_date - local_day(l.created_at) as days_to_win,
  greatest(l.updated_at, o.updated_at) as updated_at
from sharing_leads l
left join live_opportunities o
  on o.source = l.opportunity_source and o.id = l.converted_opportunity_id
  and o.is_won and o.close_date <= $as_of_day
