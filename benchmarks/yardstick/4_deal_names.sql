-- The deals with the names that they are grouped by, for their stages and the pipeline.
create temp table deal_names as
select
  o.id,
  o.currency,
  o.forecast_category,
  coalesce(u.team, '(none)') as team,
  coalesce(a.segment, '(none)') as segment,
  coalesce(o.lead_source, '(none)') as lead_source
from crm.opportunities o
left join crm.users u on u.id = o.owner_id
left join accounts a on a.id = o.account_id
where not o.is_deleted and not o.is_test;
