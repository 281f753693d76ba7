-- Every second deal came from a lead; two leads of three become nothing.
with leads as (
  select
    i,
    case when i % 16 < 5 then i * getvariable('opportunities') // getvariable('leads') end as deal
  from range(getvariable('leads')) r(i)
),
dated as (
  select
    l.i,
    d.id as deal_id,
    d.begun_at,
    d.account,
    coalesce(d.begun - 20 * draw(l.i, 'nursed'),
      (getvariable('history_days') - 1) * pow((l.i + 0.5) / getvariable('leads'), 0.8)) as created,
    coalesce(d.lead_source, pick(l.i, 'lead source', getvariable('lead_sources'))) as origin
  from leads l
  left join deals d on d.i = l.deal
)
select
  record_id('00Q', i) as id,
  deleted(i + 0.3) as is_deleted,
  test(i + 0.3) as is_test,
  at_day(created) as updated_at,
  case when draw(i, 'no lead source') >= 0.05 then origin end as lead_source,
  case when draw(i, 'lead campaign') < 0.5 then record_id('701', floor(draw(i, 'lead c') * 200)::bigint) end
    as campaign_id,
  case when deal_id is not null then record_id('001', account) end as account_id,
  reference('005', floor(draw(i, 'lead owner') * getvariable('owners'))::bigint, i, 'lead owner')
    as owner_id,
  pick(i, 'lead segment', ['Enterprise', 'Mid-Market', 'Small Business', 'Public', 'Partner']) as segment,
  case when deal_id is not null then 'Converted' else 'Working' end as status,
  at_day(created) as created_at,
  case when draw(i, 'mql') < 0.6 then at_day(created + 2) end as mql_at,
  case when draw(i, 'mql') < 0.4 then at_day(created + 4) end as sql_at,
  case when deal_id is null and draw(i, 'disqualified') < 0.3 then at_day(created + 9) end as disqualified_at,
  case when deal_id is not null then begun_at end as converted_at,
  deal_id as converted_opportunity_id,
  null::timestamptz as became_customer_at,
  case when draw(i, 'answered') < 0.8 then at_day(created + 0.3 * draw(i, 'answer')) end as first_response_at,
  null::varchar as referred_by_account_id,
  null::varchar as merged_into_id
from dated
order by i
