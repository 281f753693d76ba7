-- One row per account: why its latest segment of a subscription that is no trial was ended.
select
  source,
  account_id,
  arg_max(
    struct_pack(reason := cancel_reason),
    struct_pack(started := start_date, ended := coalesce(end_date, date 'infinity'), id := id)
  ).reason as cancel_reason
from (
  select
    source_of_accounts(source, account_id) as source,
    account_id,
    id,
    start_date,
    end_date,
    cancel_reason
  from live_subscriptions
  where not is_trial
    and account_id is not null
    and start_date <= $as_of_day
)
group by source, account_id
