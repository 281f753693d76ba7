-- One row per deal and product: a deal's amount split over its lines by their share of the line
-- total; a deal without lines keeps one row without a product.
-- excluded: opportunities
with lines as (
  select
    source_of_opportunities(source, opportunity_id) as source,
    opportunity_id,
    product_id,
    sum(total_amount)::double as line_amount
  from live_opportunity_items
  group by all
),
shares as (
  select
    source,
    opportunity_id,
    product_id,
    -- Lines that add up to nothing share the amount equally.
    coalesce(
      line_amount / nullif(sum(line_amount) over deal, 0),
      1.0 / count(*) over deal
    ) as share
  from lines
  window deal as (partition by source, opportunity_id)
)
select
  o.* exclude (amount),
  s.product_id,
  case
    when s.share is null or s.share = 1 then o.amount::decimal(28, 10)
    else (o.amount * s.share)::decimal(28, 10)
  end as amount
from live_opportunities o
left join shares s on s.source = o.source and s.opportunity_id = o.id
