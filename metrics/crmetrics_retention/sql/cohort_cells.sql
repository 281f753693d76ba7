-- One row per period, k and measuring day: the last day of the k-th month (or week, $cohort_cell)
-- after the period, as far as it is over at as_of.
select period_start, k, k::varchar as k_text, measured_on
from (
  select
    period_start,
    k,
    case $cohort_cell
      when 'week' then period_end + 7 * k - 1
      else (period_end + to_months(k))::date - 1
    end as measured_on
  from periods
  cross join (select unnest(range(0, $cohort_cells))::integer as k)
)
where measured_on < $as_of_day
