-- One row per period and open deal with what remains of the period's target: the part of each
-- account (and so of each segment) in the pipeline coverage. The target has no segment.
-- excluded: opportunities
with remaining as (
  select
    period_start,
    sum(target_amount) - coalesce(sum(won_amount), 0) as remaining_amount
  from quota_progress
  group by period_start
)
select
  d.period_start,
  d.source,
  d.account_id,
  d.owner_id,
  d.open_amount,
  d.open_amount::double * d.probability as weighted_amount,
  r.remaining_amount,
  d.missing_amount,
  d.missing_rate
from quota_deals d
join remaining r on r.period_start = d.period_start
where d.is_counted and not d.is_won
