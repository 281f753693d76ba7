-- The last submission of each owner and category before the month began, against what was won.
insert into answer by name
with locked as (
  select
    m.month, f.owner_id, f.forecast_category,
    arg_max(f.forecast_amount, (f.submitted_at, f.id))::double as forecast
  from crm.forecasts f
  join months m on m.month = f.period_start and m.month_end = f.period_end
  where not f.is_deleted and not f.is_test and f.submitted_at <= m.month::timestamptz
  group by all
),
categories as (
  select distinct month, forecast_category from locked
),
sellers as (
  select d.month, d.owner_id, c.forecast_category
  from owner_deals d
  join categories c using (month)
  where d.wins > 0 and d.owner_id is not null
),
compared as (
  select
    month, owner_id, forecast_category, coalesce(u.team, '(none)') as team,
    l.forecast is not null as is_counted,
    coalesce(w.won, 0) as won,
    abs(l.forecast - coalesce(w.won, 0)) as error,
    w.missing_won,
    w.unrated_won
  from locked l
  full join sellers s using (month, owner_id, forecast_category)
  left join owner_deals w using (month, owner_id)
  left join crm.users u on u.id = owner_id
),
summed as (
  select
    month, team, owner_id, null as forecast_category,
    sum(won) filter (where is_counted) as won,
    sum(error) as error,
    count(*) filter (where is_counted) as n,
    count(*) filter (where not is_counted) as missing_forecast,
    sum(missing_won) filter (where is_counted) as missing_amount,
    sum(unrated_won) filter (where is_counted) as missing_rate
  from compared
  where forecast_category = 'commit'
  group by grouping sets ((month), (month, team), (month, owner_id))
  union all
  select
    month, null, null, forecast_category, sum(won) filter (where is_counted), sum(error),
    count(*) filter (where is_counted), count(*) filter (where not is_counted),
    sum(missing_won) filter (where is_counted), sum(unrated_won) filter (where is_counted)
  from compared
  group by month, forecast_category
)
select
  'sales_forecast_accuracy' as kpi, month,
  case
    when team is not null then 'team' when owner_id is not null then 'owner_id'
    when forecast_category is not null then 'forecast_category' else ''
  end as dimension,
  coalesce(team, owner_id, forecast_category, '') as entry,
  case when won > 0 then greatest(0, 1 - error / won) end as value,
  won - error as numerator, won as denominator, n, n as rows_used,
  state(month, value) as status, marks(month, value, null) as flags,
  missing_forecast, missing_amount, missing_rate
from summed
where n > 0;
