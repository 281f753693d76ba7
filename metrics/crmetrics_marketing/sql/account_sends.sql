-- One row per account and campaign that was sent to one of its people: the first such send.
select
  source_of_accounts(person_source, account_id) as account_source,
  account_id,
  campaign_source,
  campaign_id,
  min(struct_pack(sent_at := sent_at, id := id)) as first_send
from campaign_sends
where account_id is not null
group by all
