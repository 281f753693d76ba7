-- One row per account with a lead: the channel of the campaign that brought its earliest lead.
select l.source, l.account_id, c.channel
from account_first_lead l
left join live_campaigns c
  on c.source = source_of_campaigns(l.source, l.campaign_id) and c.id = l.campaign_id
