-- The rows of customer_contacts with the value of the account.
select c.*, v.account_value
from customer_contacts c
left join account_values v
  on v.period_start = c.period_start and v.source = c.source and v.account_id = c.account_id
