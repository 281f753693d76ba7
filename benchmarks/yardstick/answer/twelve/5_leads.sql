-- Of the leads created in each month, those converted within 90 days.
insert into answer by name
with counted as (
  select
    date_trunc('month', make_timestamp(epoch_us(l.created_at)))::date as month,
    l.lead_source,
    l.segment,
    coalesce(u.team, 0)::utinyint as team,
    u.team is null and l.owner_id is not null as is_orphan,
    case when l.is_deleted then 1 when l.is_test then 2 else 0 end::utinyint as gone,
    count(*) as leads,
    count(*) filter (
      where converted_at >= l.created_at and converted_at <= timestamptz '2025-12-15 12:00:00'
        and epoch_us(converted_at) - epoch_us(l.created_at) < 90 * 86400000000
    ) as converted,
    count(*) filter (where converted_at < l.created_at) as invalid
  from crm.leads l
  left join owners u on u.id = l.owner_id
  where l.created_at >= timestamptz '2024-01-01' and l.created_at <= timestamptz '2025-12-15 12:00:00'
  group by all
),
summed as (
  select
    month,
    case
      when lead_source is not null then 'lead_source' when segment is not null then 'segment'
      when team is not null then 'owner.team' else ''
    end as dimension,
    coalesce(lead_source, segment) as named,
    coalesce(team, 0) as code,
    coalesce(sum(leads) filter (where gone = 0), 0) as n,
    sum(converted) filter (where gone = 0) as converted,
    sum(invalid) filter (where gone = 0) as invalid_duration,
    sum(leads) filter (where gone = 0 and is_orphan) as orphan,
    sum(leads) filter (where gone = 1) as excluded_deleted,
    sum(leads) filter (where gone = 2) as excluded_test
  from (
    select
      * replace (coalesce(lead_source, '(none)') as lead_source, coalesce(segment, '(none)') as segment)
    from counted
  )
  group by grouping sets ((month), (month, lead_source), (month, segment), (month, team))
)
select
  'lead_conversion_rate' as kpi, month, s.dimension, coalesce(named, e.entry) as entry,
  converted / n as value, converted as numerator, n as denominator, n, n as rows_used,
  wilson(converted, n, -1) as interval_low, wilson(converted, n, 1) as interval_high,
  case
    when month = date '2025-12-01' then 'partial' when month >= date '2025-09-01' then 'maturing' else 'ok'
  end as status,
  list_filter([
    case when month = date '2025-12-01' then 'maturing' end, case when n < 20 then 'low_sample' end
  ], lambda mark: mark is not null) as flags,
  orphan, invalid_duration, excluded_deleted, excluded_test
from summed s
left join entries e on e.dimension = case when s.dimension = 'owner.team' then 'team' else '' end and e.code = s.code
where n > 0;
