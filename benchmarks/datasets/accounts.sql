select
  record_id('001', i) as id,
  deleted(i + 0.1) as is_deleted,
  test(i + 0.1) as is_test,
  at_day(1700 * draw(i, 'account changed')) as updated_at,
  pick(i, 'account type', ['prospect', 'customer', 'customer', 'former_customer']) as account_type,
  case
    when draw(i, 'no segment') >= 0.02
    then pick(i, 'segment', ['Enterprise', 'Mid-Market', 'Small Business', 'Public', 'Partner'])
  end as segment,
  pick(i, 'industry', ['Software', 'Retail', 'Health', 'Energy', 'Finance', 'Transport']) as industry,
  pick(i, 'country', ['US', 'DE', 'GB', 'FR', 'JP']) as country,
  reference('005', floor(draw(i, 'account owner') * getvariable('owners'))::bigint, i, 'account owner')
    as owner_id,
  null::varchar as parent_account_id,
  at_day(0) as created_at,
  null::timestamptz as customer_since_at,
  draw(i, 'referenceable') < 0.2 as is_referenceable,
  null::timestamptz as loyalty_joined_at,
  null::varchar as churn_reason,
  null::varchar as merged_into_id
from range(getvariable('accounts')) r(i)
order by i
