-- Of the leads created in each month, those converted within 90 days.
insert into answer
with counted as (
  select
    date_trunc('month', make_timestamp(epoch_us(l.created_at)))::date as month,
    coalesce(l.lead_source, '(none)') as lead_source,
    coalesce(l.segment, '(none)') as segment,
    coalesce(u.team, '(none)') as team,
    count(*) as leads,
    count(*) filter (
      where converted_at >= l.created_at and converted_at <= timestamptz '2025-12-15 12:00:00'
        and epoch_us(converted_at) - epoch_us(l.created_at) < 90 * 86400000000
    ) as converted
  from crm.leads l
  left join crm.users u on u.id = l.owner_id
  where not l.is_deleted and not l.is_test
    and l.created_at >= timestamptz '2024-01-01' and l.created_at <= timestamptz '2025-12-15 12:00:00'
  group by month, l.lead_source, l.segment, u.team
),
summed as (
  select month, lead_source, segment, team, sum(leads) as leads, sum(converted) as converted
  from counted
  group by grouping sets ((month), (month, lead_source), (month, segment), (month, team))
)
select
  'lead_conversion_rate', month,
  case
    when lead_source is not null then 'lead_source' when segment is not null then 'segment'
    when team is not null then 'owner.team' else ''
  end,
  coalesce(lead_source, segment, team, ''), null, converted / leads
from summed;
