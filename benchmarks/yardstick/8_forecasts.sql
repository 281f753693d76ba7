-- The last submission of each owner and category before the month began, against what was won.
insert into answer
with locked as (
  select
    m.month, f.owner_id, f.forecast_category,
    arg_max(f.forecast_amount, (f.submitted_at, f.id)) as forecast
  from crm.forecasts f
  join months m on m.month = f.period_start and m.month_end = f.period_end
  where not f.is_deleted and not f.is_test
    and f.submitted_at <= m.month::timestamptz
  group by all
),
wins as (
  select
    date_trunc('month', day)::date as month, owner_id,
    coalesce(sum(amount)::double, 0) + coalesce(sum(foreign_amount), 0) as won
  from deals
  where is_won and day >= date '2024-01-01'
  group by all
),
compared as (
  select
    l.month, l.owner_id, l.forecast_category,
    coalesce(u.team, '(none)') as team,
    coalesce(w.won, 0) as won,
    abs(l.forecast - coalesce(w.won, 0)) as error
  from locked l
  left join wins w on w.month = l.month and w.owner_id = l.owner_id
  left join crm.users u on u.id = l.owner_id
),
summed as (
  select
    month, team, owner_id, null as forecast_category, sum(won) as won, sum(error) as error
  from compared
  where forecast_category = 'commit'
  group by grouping sets ((month), (month, team), (month, owner_id))
  union all
  select month, null, null, forecast_category, sum(won), sum(error)
  from compared
  group by month, forecast_category
)
select
  'sales_forecast_accuracy', month,
  case
    when team is not null then 'team' when owner_id is not null then 'owner_id'
    when forecast_category is not null then 'forecast_category' else ''
  end,
  coalesce(team, owner_id, forecast_category, ''), null,
  case when won > 0 then greatest(0, 1 - error / won) end
from summed;
