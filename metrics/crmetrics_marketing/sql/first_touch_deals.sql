-- One row per won deal, with the campaign of the earliest send to a person of its account, if that
-- send lies on a day before the close date.
-- excluded: opportunities
with touches as (
  select
    account_source,
    account_id,
    min(first_send).sent_at as sent_at,
    arg_min(campaign_source, first_send) as campaign_source,
    arg_min(campaign_id, first_send) as campaign_id
  from account_sends
  group by account_source, account_id
)
select
  o.source,
  o.id,
  o.account_id,
  o.close_date,
  o.amount,
  o.currency,
  o.updated_at,
  t.campaign_id,
  c.channel
from live_opportunities o
left join touches t
  on t.account_source = source_of_accounts(o.source, o.account_id) and t.account_id = o.account_id
  and local_day(t.sent_at) < o.close_date
left join live_campaigns c on c.source = t.campaign_source and c.id = t.campaign_id
where o.is_won
