select
  id,
  deleted(i) as is_deleted,
  test(i) as is_test,
  least(ended_at, getvariable('exported_at')) as updated_at,
  reference('001', account, i, 'account') as account_id,
  reference('005', owner, i, 'owner') as owner_id,
  case when draw(i, 'has campaign') < 0.4 then record_id('701', floor(draw(i, 'campaign') * 200)::bigint) end
    as campaign_id,
  'Sales' as pipeline,
  case
    when is_won then 'Closed Won'
    when is_closed then 'Closed Lost'
    else getvariable('open_stages')[
      1 + least(stages - 1, floor(stages * (getvariable('history_days') - 0.5 - begun) / cycle))::bigint
    ]
  end as stage,
  pick(i, 'opportunity type', ['new_business', 'new_business', 'expansion', 'renewal'])
    as opportunity_type,
  lead_source,
  amount,
  currency,
  case when is_won then 1 when is_closed then 0 else 0.1 + 0.2 * floor(4 * draw(i, 'probability')) end::double
    as probability,
  case
    when is_closed then 'closed'
    when draw(i, 'omitted') < 0.04 then 'omitted'
    else pick(i, 'forecast category', ['pipeline', 'best_case', 'commit'])
  end as forecast_category,
  is_closed,
  is_won,
  -- The expected day of an open deal; one in seven of them is overdue.
  case
    when is_closed then ended_at::date
    else (at_day(begun + cycle) + to_days((90 * (draw(i, 'expected') - 0.15))::integer))::date
  end as close_date,
  case when is_closed then ended_at end as closed_at,
  case
    when is_closed and not is_won then pick(i, 'lost reason', ['price', 'feature', 'timing', 'competitor'])
  end as lost_reason,
  -- Two percent are entered late, some of them after they were decided.
  case
    when is_closed and draw(i, 'late') < 0.02
    then least(begun_at + to_seconds(86400 * 90 * draw(i, 'days late')), getvariable('exported_at'))
    else begun_at
  end as created_at
from deals
order by i
