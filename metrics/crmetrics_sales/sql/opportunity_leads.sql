-- One row per deal with the local day on which the earliest lead converted into it was created.
-- excluded: opportunities
with leads as (
  select
    source_of_opportunities(source, converted_opportunity_id) as source,
    converted_opportunity_id,
    min(local_day(created_at)) as lead_day
  from live_leads
  where converted_opportunity_id is not null
  group by all
)
select o.*, l.lead_day
from live_opportunities o
left join leads l on l.source = o.source and l.converted_opportunity_id = o.id
