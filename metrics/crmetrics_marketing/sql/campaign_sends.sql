-- materialized: one row per campaign send, with the person it went to (contact, else lead; null =
-- neither is known), the person's account, segment and lead source, and whether it was reached.
-- excluded: campaign_members
with sends as (
  select
    *,
    source_of_campaigns(source, campaign_id) as campaign_source,
    case
      when contact_id is not null then source_of_contacts(source, contact_id)
      when lead_id is not null then source_of_leads(source, lead_id)
    end as person_source,
    case when contact_id is not null then 'contact' when lead_id is not null then 'lead' end
      as person_type,
    coalesce(contact_id, lead_id) as person_id
  from live_campaign_members
),
tracking as (
  -- Delivery is tracked for a campaign when any of its sends says that it was delivered.
  select campaign_source, campaign_id, count(delivered_at) > 0 as is_tracked
  from sends
  group by campaign_source, campaign_id
),
people as (
  select 'contact' as person_type, source, id, account_id, null::varchar as segment,
    null::varchar as lead_source
  from live_contacts
  union all
  select 'lead', source, id, account_id, segment, lead_source
  from live_leads
)
select
  s.*,
  case
    when t.is_tracked then s.delivered_at is not null
    else s.bounced_at is null
  end as is_reached,
  p.account_id,
  coalesce(p.segment, a.segment) as segment,
  coalesce(p.lead_source, f.lead_source) as lead_source
from sends s
left join tracking t on t.campaign_source = s.campaign_source and t.campaign_id = s.campaign_id
left join people p
  on p.person_type = s.person_type and p.source = s.person_source and p.id = s.person_id
left join live_accounts a
  on a.source = source_of_accounts(p.source, p.account_id) and a.id = p.account_id
left join account_first_lead f
  on s.person_type = 'contact' and f.source = a.source and f.account_id = a.id
