-- One row per account that ever was a customer, with the month of its first customer day.
select source, account_id, strftime(first_day, '%Y-%m') as cohort_month
from customer_first_days
