-- One row per period, k and measuring day: the last day of the k-th month after the period, as far
-- as it is over at as_of.
select period_start, k, k::varchar as k_text, measured_on
from (
  select period_start, k, (period_end + to_months(k))::date - 1 as measured_on
  from periods
  cross join (select unnest(range(0, 25))::integer as k)
)
where measured_on < $as_of_day
