-- One row per period and customer active at its end: whether the account answered any survey in the
-- 365 days to the period's end.
-- excluded: customers
with customers as (
  select distinct p.period_start, p.period_end, s.source, s.account_id
  from periods p
  join customer_spells s
    on s.start_date <= p.snapshot_day
    and coalesce(s.end_date, date 'infinity') > p.snapshot_day
),
answer_days as (
  select distinct
    source_of_accounts(source, account_id) as source,
    account_id,
    local_day(responded_at) as day
  from live_survey_responses
  where responded_at is not null and account_id is not null
),
answered as (
  select distinct c.period_start, c.source, c.account_id
  from customers c
  join answer_days a on a.source = c.source and a.account_id = c.account_id
  where a.day >= c.period_end - 365 and a.day < c.period_end
)
select c.period_start, c.source, c.account_id, a.account_id is not null as has_answered
from customers c
left join answered a
  on a.period_start = c.period_start
  and a.source = c.source
  and a.account_id = c.account_id
