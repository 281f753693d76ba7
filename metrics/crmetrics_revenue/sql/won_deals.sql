-- One row per won deal, with whether its account was a customer on a day before the close date.
-- excluded: opportunities
with deals as (
  select *, source_of_accounts(source, account_id) as account_source
  from live_opportunities
  where is_won
)
select d.* exclude (account_source), coalesce(c.first_day < d.close_date, false) as is_to_customer
from deals d
left join customer_first_days c on c.source = d.account_source and c.account_id = d.account_id
