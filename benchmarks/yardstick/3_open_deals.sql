-- Deals open at each month's end, as a running sum of opened minus closed, for the sales velocity.
create temp table open_deals as
with spans as (
  select
    greatest(0, date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(o.created_at))))
      as first_reading,
    case
      when not o.is_closed then 24
      else least(24, date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(
        coalesce(o.closed_at, o.close_date::timestamptz)))))
    end as last_reading,
    o.owner_id,
    o.account_id,
    o.lead_source
  from crm.opportunities o
  where not o.is_deleted and not o.is_test
    and (not o.is_closed or coalesce(o.closed_at, o.close_date::timestamptz) >= timestamptz '2024-02-01')
),
named as (
  select
    first_reading,
    last_reading,
    coalesce(u.team, '(none)') as team,
    coalesce(a.segment, '(none)') as segment,
    coalesce(s.lead_source, '(none)') as lead_source
  from spans s
  left join crm.users u on u.id = s.owner_id
  left join accounts a on a.id = s.account_id
  where first_reading < last_reading
),
changes as (
  select
    unnest([first_reading, last_reading]) as position, unnest([1, -1]) as change,
    team, segment, lead_source
  from named
),
summed as (
  select position, team, segment, lead_source, sum(change) as change
  from changes
  group by grouping sets ((position), (position, team), (position, segment), (position, lead_source))
),
labelled as (
  select
    position,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when lead_source is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, lead_source, '') as entry,
    change
  from summed
)
select
  m.month, g.dimension, g.entry,
  sum(coalesce(l.change, 0)) over (partition by g.dimension, g.entry order by m.position) as deals
from (select distinct dimension, entry from labelled) g
cross join months m
left join labelled l
  on l.position = m.position and l.dimension = g.dimension and l.entry = g.entry;

insert into answer
select
  'sales_velocity', s.month, s.dimension, s.entry, null,
  coalesce(o.deals, 0) * (s.amount / nullif(s.amounts, 0)) * (s.won / s.closed) / nullif(s.mean_cycle, 0)
from sums s
left join open_deals o on o.month = s.month and o.dimension = s.dimension and o.entry = s.entry
where s.kind = 'trailing';
