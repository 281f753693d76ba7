-- Marketing costs with the lead source they belong to: the one that the setting gives their channel,
-- else the one of the same name as the channel; null = they reach no source.
with sources as (
  select distinct lead_source
  from live_leads
  where lead_source is not null
)
select
  c.*,
  coalesce(($channel_to_lead_source)[c.channel], s.lead_source) as lead_source
from operating_costs c
left join sources s on s.lead_source = c.channel
where c.category = 'marketing'
