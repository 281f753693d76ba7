-- One row per lead that counts: whether it opens its account (account_source, account_id), which
-- had neither a lead nor a customer day before it. Leads without an account are there.
with counted_leads as (
  select *, source_of_accounts(source, account_id) as account_source
  from live_leads
  where lead_source is null or not list_contains($exclude_lead_sources::varchar[], lead_source)
),
leads_of_accounts as (
  select *, min(created_at) over (partition by account_source, account_id) as first_lead_at
  from counted_leads
)
select
  l.*,
  l.account_id is not null
    and l.created_at = l.first_lead_at
    and (c.first_day is null or c.first_day >= local_day(l.created_at)) as is_net_new
from leads_of_accounts l
left join customer_first_days c on c.source = l.account_source and c.account_id = l.account_id
