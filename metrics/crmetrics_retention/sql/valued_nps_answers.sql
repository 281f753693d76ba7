-- The rows of rated_nps_answers with the value of the account.
-- excluded: survey_responses
select a.*, v.account_value
from rated_nps_answers a
left join account_values v
  on v.period_start = a.period_start
  and v.source = source_of_accounts(a.source, a.account_id)
  and v.account_id = a.account_id
