-- One row per period, customer and family held at the opening: the highest tier then and at the
-- closing (null = left the family), and the lowest and highest tier that the family has. With the
-- purchase model a tier is held when it was bought last in the 365 days to the snapshot day.
with tiers as (
  select source, id, family, tier_rank
  from live_products
  where family is not null and tier_rank is not null
),
ranges as (
  select family, min(tier_rank) as lowest_tier, max(tier_rank) as highest_tier
  from tiers
  group by family
),
subscribed as (
  select *, source_of_products(source, product_id) as product_source
  from subscribed_mrr
  where $customer_model <> 'purchase'
),
purchases as (
  select
    source_of_accounts(order_source, account_id) as source,
    account_id,
    source_of_products(source, product_id) as product_source,
    product_id,
    ordered_at,
    rate_day as ordered_on
  from counted_order_items
  where $customer_model = 'purchase' and quantity > 0
),
bought as (
  select p.source, p.account_id, t.family, p.ordered_at, p.ordered_on, max(t.tier_rank) as tier_rank
  from purchases p
  join tiers t on t.source = p.product_source and t.id = p.product_id
  group by all
),
held as (
  select
    s.period_start,
    source_of_accounts(s.source, s.account_id) as source,
    s.account_id,
    t.family,
    max(t.tier_rank) filter (where s.opening_paid > 0) as opening_tier,
    max(t.tier_rank) filter (where s.closing_paid > 0) as closing_tier
  from subscribed s
  join tiers t on t.source = s.product_source and t.id = s.product_id
  group by all
  union all
  select
    p.period_start,
    b.source,
    b.account_id,
    b.family,
    arg_max(b.tier_rank, b.ordered_at) filter (
      where b.ordered_on < p.period_start and b.ordered_on >= p.period_start - 365
    ),
    arg_max(b.tier_rank, b.ordered_at) filter (
      where b.ordered_on <= p.snapshot_day and b.ordered_on > p.snapshot_day - 365
    )
  from bought b
  join periods p
    on b.ordered_on <= p.snapshot_day and b.ordered_on >= p.period_start - 365
  group by p.period_start, b.source, b.account_id, b.family
)
select
  h.period_start,
  h.source,
  h.account_id,
  h.family,
  h.opening_tier as from_tier,
  h.closing_tier as to_tier,
  r.lowest_tier,
  r.highest_tier
from held h
join ranges r on r.family = h.family
where h.opening_tier is not null
