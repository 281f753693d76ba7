-- One row per deal and product family: the parts of the deal in the family, added up; a deal without
-- lines keeps one row without a family.
-- excluded: opportunities
select o.* exclude (product_id, amount), p.family, sum(o.amount)::decimal(28, 10) as amount
from opportunity_parts o
left join live_products p
  on p.source = source_of_products(o.source, o.product_id) and p.id = o.product_id
group by all
