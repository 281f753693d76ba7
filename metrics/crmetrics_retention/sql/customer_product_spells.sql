-- One row per uninterrupted time as a customer of a product; end_date is exclusive, null = still one.
with marked as (
  select
    source,
    account_id,
    product_id,
    start_date,
    coalesce(end_date, date 'infinity') as end_date,
    start_date <= max(coalesce(end_date, date 'infinity')) over (
      partition by source, account_id, product_id
      order by start_date, end_date
      rows between unbounded preceding and 1 preceding
    ) as is_continued
  from customer_product_cover
),
numbered as (
  select
    *,
    count(*) filter (where is_continued is not true) over (
      partition by source, account_id, product_id
      order by start_date, end_date
      rows between unbounded preceding and current row
    ) as spell
  from marked
)
select
  source,
  account_id,
  product_id,
  min(start_date) as start_date,
  nullif(max(end_date), date 'infinity') as end_date
from numbered
group by source, account_id, product_id, spell
