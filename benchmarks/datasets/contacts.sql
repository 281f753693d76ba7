select
  record_id('003', i) as id,
  deleted(i + 0.2) as is_deleted,
  test(i + 0.2) as is_test,
  at_day(1700 * draw(i, 'contact')) as updated_at,
  reference('001', i * getvariable('accounts') // getvariable('contacts'), i, 'contact account')
    as account_id,
  record_id('005', floor(draw(i, 'contact owner') * getvariable('owners'))::bigint) as owner_id,
  pick(i, 'lifecycle', ['lead', 'mql', 'sql', 'opportunity', 'customer']) as lifecycle_stage,
  draw(i, 'opted out') < 0.05 as email_opted_out,
  at_day(1700 * draw(i, 'contact')) as created_at,
  null::varchar as merged_into_id
from range(getvariable('contacts')) r(i)
order by i
