-- One row per person and campaign: the first send, and the person's earliest reactions to the
-- campaign at or after it. A send to nobody known keeps a row of its own, without a person.
-- excluded: campaign_members
with placed as (
  select
    *,
    min(sent_at) over person as first_sent_at,
    row_number() over (person order by sent_at, id) as place
  from campaign_sends
  window person as (
    partition by
      campaign_source,
      campaign_id,
      person_type,
      person_source,
      person_id,
      case when person_id is null then struct_pack(source := source, id := id) end
  )
)
select
  min(source) filter (where place = 1) as source,
  min(id) filter (where place = 1) as id,
  campaign_id,
  person_id,
  first_sent_at as sent_at,
  bool_or(is_reached) filter (where place = 1) as is_reached,
  min(responded_at) filter (where responded_at >= first_sent_at) as responded_at,
  min(clicked_at) filter (where clicked_at >= first_sent_at) as clicked_at,
  min(opened_at) filter (where opened_at >= first_sent_at) as opened_at,
  count(*) filter (where responded_at < first_sent_at) as early_responses,
  count(*) filter (where clicked_at < first_sent_at) as early_clicks,
  count(*) filter (where opened_at < first_sent_at) as early_opens,
  min(account_id) as account_id,
  min(segment) as segment,
  min(lead_source) as lead_source
from placed
group by
  campaign_source,
  campaign_id,
  person_type,
  person_source,
  person_id,
  case when person_id is null then struct_pack(source := source, id := id) end,
  first_sent_at
