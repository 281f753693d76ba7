-- Deals, read once: with small numbers for what they are grouped by, the month ends at which they
-- are open, and what keeps them out (1 = deleted, 2 = test). `place` holds all of these in one number.
create temp table deals as
with named as (
  select
    o.*,
    case when o.is_deleted then 1 when o.is_test then 2 else 0 end::utinyint as gone,
    coalesce(u.team, 0)::utinyint as team,
    coalesce(a.segment, 0)::utinyint as segment,
    coalesce(s.code, 0)::utinyint as origin,
    (u.team is null and o.owner_id is not null) or (a.segment is null and o.account_id is not null)
      as is_orphan,
    coalesce(c.code, 0)::utinyint as currency_code,
    case when c.code is null then 1 else r.rate end as rate
  from crm.opportunities o
  left join entries c on c.dimension = 'currency' and c.entry = o.currency
  left join rates r on r.currency = o.currency and r.day = o.close_date
  left join owners u on u.id = o.owner_id
  left join buyers a on a.id = o.account_id and a.gone = 0
  left join entries s on s.dimension = 'lead_source' and s.entry = o.lead_source
)
select
  id, owner_id, gone, team, segment, origin, is_orphan, is_closed, is_won, close_date as day,
  (currency_code::bigint << 32) | (coalesce(forecast_category = 'omitted', false)::bigint << 27)
    | (gone::bigint << 25) | (is_orphan::bigint << 24)
    | (team::bigint << 16) | (segment::bigint << 8) | origin::bigint as place,
  amount::double as stated,
  amount::double * rate as amount,
  close_date - make_timestamp(epoch_us(created_at))::date as cycle,
  greatest(0, date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(created_at))))::utinyint
    as first_reading,
  case
    when not is_closed then 24
    else greatest(0, least(24, date_diff('month', timestamp '2024-01-01', make_timestamp(epoch_us(
      coalesce(closed_at, close_date::timestamptz))))))
  end::utinyint as last_reading
from named;

-- Closed deals by stretch of days. What is odd about a deal is rare, and counted apart.
create temp table closed_cells as
select
  stretch, team, segment, origin,
  count(*) as closed,
  count(*) filter (where is_won) as won,
  sum(amount) filter (where is_won) as amount,
  sum(cycle) filter (where is_won and cycle >= 0) as cycle_days
from deals d
join stretch_days s on s.day = d.day
where is_closed and gone = 0
group by all;

create temp table odd_closed_cells as
select
  stretch, team, segment, origin,
  count(*) filter (where gone = 0 and is_won and stated is null) as missing_amount,
  count(*) filter (where gone = 0 and is_won and stated is not null and amount is null) as missing_rate,
  count(*) filter (where gone = 0 and is_won and stated = 0) as zero_amount,
  count(*) filter (where gone = 0 and is_won and cycle < 0) as invalid_duration,
  count(*) filter (where gone = 0 and is_orphan) as orphan,
  count(*) filter (where gone = 0 and is_orphan and is_won) as orphan_won,
  count(*) filter (where gone = 0 and is_orphan and is_won and cycle >= 0) as orphan_cycle,
  count(*) filter (where gone = 1) as deleted,
  count(*) filter (where gone = 1 and is_won) as deleted_won,
  count(*) filter (where gone = 1 and is_won and cycle >= 0) as deleted_cycle,
  count(*) filter (where gone = 2) as test,
  count(*) filter (where gone = 2 and is_won) as test_won,
  count(*) filter (where gone = 2 and is_won and cycle >= 0) as test_cycle
from deals d
join stretch_days s on s.day = d.day
where is_closed and (gone > 0 or is_orphan or (is_won and (amount is null or stated = 0 or cycle < 0)))
group by all;

create temp table closed_groups as
with grouped as (
  select
    stretch,
    case
      when team is not null then 'team' when segment is not null then 'segment'
      when origin is not null then 'lead_source' else ''
    end as dimension,
    coalesce(team, segment, origin, 0) as code,
    sum(columns(* exclude (stretch, team, segment, origin)))
  from (from closed_cells union all by name from odd_closed_cells)
  group by grouping sets ((stretch), (stretch, team), (stretch, segment), (stretch, origin))
),
summed as (
  select
    w.kind, w.position, g.dimension, g.code,
    coalesce(sum(columns(g.* exclude (stretch, dimension, code))), 0)
  from grouped g
  join windows w on w.stretch = g.stretch
  group by all
)
select
  s.kind, s.position, m.month, s.dimension, e.entry,
  won - missing_amount - missing_rate as amounts,
  won - invalid_duration as cycles,
  s.* exclude (kind, position, dimension)
from summed s
join months m on m.position = s.position
join entries e on e.dimension = s.dimension and e.code = s.code;
