-- One row per won deal and campaign that was sent to a person of its account on a day before the
-- close date: the deal's amount in equal parts. A deal without such a send keeps one row.
-- excluded: opportunities
select
  o.source,
  o.id,
  o.account_id,
  o.close_date,
  (o.amount / count(*) over (partition by o.source, o.id))::decimal(28, 10) as amount,
  o.currency,
  o.updated_at,
  s.campaign_id,
  c.channel
from live_opportunities o
left join account_sends s
  on s.account_source = source_of_accounts(o.source, o.account_id) and s.account_id = o.account_id
  and local_day(s.first_send.sent_at) < o.close_date
left join live_campaigns c on c.source = s.campaign_source and c.id = s.campaign_id
where o.is_won
