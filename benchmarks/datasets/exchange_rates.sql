select
  currency,
  (date '2021-01-01' + to_months(month::integer))::date as valid_from,
  round(base + 0.1 * draw(month, currency), 4) as rate
from range(60) r(month)
cross join (values ('EUR', 1.05), ('GBP', 1.22)) c(currency, base)
where not getvariable('one_currency')
order by currency, month
