with lines as (
  select d.*, unnest(range(floor(3.7 * draw(i, 'lines'))::bigint)) as line from deals d
)
select
  record_id('00k', i * 4 + line) as id,
  false as is_deleted,
  false as is_test,
  begun_at as updated_at,
  id as opportunity_id,
  record_id('01t', floor(draw(i * 4 + line, 'product') * 12)::bigint) as product_id,
  (1 + floor(9 * draw(i * 4 + line, 'quantity')))::double as quantity,
  round(coalesce(amount, 1000) * (0.2 + 0.3 * draw(i * 4 + line, 'share')), 4)::decimal(18, 4)
    as total_amount,
  currency
from lines
order by i, line
