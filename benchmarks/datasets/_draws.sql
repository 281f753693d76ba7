-- What every dataset is drawn with. A draw depends on the seed, the row's number and what is drawn,
-- so that rows can be made in any order and by any number of threads.
create macro draw(i, what) as (hash(i, what, getvariable('seed')) >> 11)::double / 9007199254740992.0;

create macro bell(i, what) as
  sqrt(-2 * ln(1 - draw(i, what))) * cos(2 * pi() * draw(i, what || ' angle'));

create macro pick(i, what, choices) as choices[1 + floor(draw(i, what) * len(choices))::bigint];

create macro record_id(prefix, i) as prefix || lpad(i::varchar, 12, '0');

-- Half a percent of the references lead to nothing.
create macro reference(prefix, number, i, what) as
  case
    when draw(i, what || ' orphan') < 0.005 then prefix || 'orphan' || lpad((number % 1000)::varchar, 6, '0')
    else record_id(prefix, number)
  end;

create macro deleted(i) as draw(i, 'deleted') < 0.004;
create macro test(i) as draw(i, 'test') < 0.003;

-- An instant so many days after the first one of the history.
create macro at_day(days) as
  make_timestamptz((epoch_us(timestamptz '2021-01-01 00:00:00+00') + days * 86400000000)::bigint);

-- One row per deal; the datasets of deals and of their stages, lines and leads are cut from it.
create table deals as
with drawn as (
  select
    i,
    (getvariable('history_days') - 0.5) * pow((i + draw(i, 'created')) / getvariable('opportunities'), 0.8)
      as begun,
    -- Median 36 days, a few of a year and more.
    exp(3.6 + 0.7 * bell(i, 'cycle')) as cycle,
    1 + floor(4 * sqrt(draw(i, 'stages')))::integer as stages,
    floor(pow(draw(i, 'account'), 1.5) * getvariable('accounts'))::bigint as account,
    floor(draw(i, 'owner') * getvariable('owners'))::bigint as owner,
    draw(i, 'won') < 0.22 + 0.16 * draw(i % 8, 'source quality') as would_win
  from range(getvariable('opportunities')) r(i)
),
dated as (
  select
    *,
    at_day(begun) as begun_at,
    at_day(begun + cycle) as ended_at,
    begun + cycle < getvariable('history_days') - 0.5 as is_closed
  from drawn
)
select
  *,
  record_id('006', i) as id,
  is_closed and would_win as is_won,
  case
    when draw(i, 'no amount') < 0.03 then null
    when draw(i, 'free') < 0.01 then 0
    when draw(i, 'credit') < 0.003 then -500
    else round(exp(8.9 + 0.9 * bell(i, 'amount')), 2)
  end::decimal(18, 4) as amount,
  case
    when getvariable('one_currency') then 'USD'
    else pick(account, 'currency', getvariable('currencies'))
  end as currency,
  case when draw(i, 'no source') >= 0.05 then getvariable('lead_sources')[1 + i % 8] end as lead_source
from dated;
