-- One to three yearly segments each; one in six has a gap between two of them.
with contracts as (
  select
    i,
    floor((getvariable('history_days') - 1) * pow(draw(i, 'subscribed'), 0.8))::integer as first_day,
    unnest(range(1 + floor(3 * draw(i, 'segments'))::bigint))::integer as segment
  from range(getvariable('contracts')) r(i)
),
segments as (
  select
    *,
    first_day + 365 * segment
      + case when draw(i, 'gap') < 0.16 and segment > 0 then 60 else 0 end as begins,
    segment = floor(3 * draw(i, 'segments'))::integer as is_last
  from contracts
)
select
  record_id('sub', i * 4 + segment) as id,
  deleted(i + 0.4) as is_deleted,
  test(i + 0.4) as is_test,
  at_day(begins) as updated_at,
  record_id('contract', i) as subscription_id,
  record_id('001', i * getvariable('accounts') // getvariable('contracts')) as account_id,
  record_id('01t', i % 12) as product_id,
  date '2021-01-01' + begins as start_date,
  case
    when not is_last or draw(i, 'cancelled') < 0.5 then date '2021-01-01' + first_day + 365 * (segment + 1)
  end as end_date,
  round(exp(5.5 + 0.8 * bell(i, 'mrr')) * (1 + 0.1 * segment), 2)::decimal(18, 4) as mrr,
  (1 + floor(50 * draw(i, 'seats')))::double as quantity,
  null::varchar as cancel_reason,
  segment = 0 and draw(i, 'trial') < 0.03 as is_trial,
  'USD' as currency
from segments
where begins < getvariable('history_days')
order by i, segment
