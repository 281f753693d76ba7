-- One row per stage; one deal in five changes its amount within its second stage.
with steps as (
  select
    d.*,
    unnest(range(stages + (is_closed)::integer)) as step
  from deals d
),
stays as (
  select
    *,
    step = stages as is_last,
    begun + cycle * step / stages as entered,
    case when step < stages then begun + cycle * (step + 1) / stages end as exited
  from steps
  where begun + cycle * step / stages < getvariable('history_days') - 0.5
),
parts as (
  select
    *,
    unnest(case when step = 1 and draw(i, 'amount changed') < 0.2 then [0, 1] else [2] end) as part
  from stays
),
spans as (
  select
    * exclude (entered, exited),
    case when part = 1 then entered + (exited - entered) / 3 else entered end as entered,
    case when part = 0 then entered + (exited - entered) / 3 else exited end as exited
  from parts
)
select
  record_id('008', i * 16 + step * 2 + (part = 1)::integer) as id,
  false as is_deleted,
  false as is_test,
  at_day(entered) as updated_at,
  case when draw(i, 'history orphan') < 0.005 then '006orphan' || lpad((i % 1000000)::varchar, 6, '0') else id end
    as opportunity_id,
  id || '-' || step as stay_id,
  case
    when is_last and is_won then 'Closed Won'
    when is_last then 'Closed Lost'
    else getvariable('open_stages')[1 + step]
  end as stage,
  at_day(entered) as entered_at,
  case when exited < getvariable('history_days') - 0.5 then at_day(exited) end as exited_at,
  is_last as is_closed,
  is_last and is_won as is_won,
  case when step = 0 or part = 0 then (amount * 0.9)::decimal(18, 4) else amount end as amount,
  case when is_last then is_won::integer else 0.1 + 0.2 * step end::double as probability,
  (at_day(begun + cycle) + to_days((30 * (draw(i, 'expected then') - 0.3))::integer))::date as close_date
from spans
where entered < getvariable('history_days') - 0.5
order by i, step, part
