-- Median seconds until the first answer, of the cases answered in each month.
insert into answer
with answered as (
  select
    date_trunc('month', make_timestamp(epoch_us(c.first_response_at)))::date as month,
    (epoch_us(c.first_response_at) - epoch_us(c.created_at)) / 1e6 as seconds,
    coalesce(c.channel, '(none)') as channel,
    coalesce(c.priority, '(none)') as priority,
    coalesce(a.segment, '(none)') as segment
  from crm.cases c
  left join accounts a on a.id = c.account_id
  where not c.is_deleted and not c.is_test and not c.is_spam
    and c.first_response_at >= timestamptz '2024-01-01'
    and c.first_response_at <= timestamptz '2025-12-15 12:00:00'
    and c.first_response_at >= c.created_at
),
medians as (
  select month, channel, priority, segment, quantile_cont(seconds, 0.5) as median
  from answered
  group by grouping sets ((month), (month, channel), (month, priority), (month, segment))
)
select
  'first_response_time', month,
  case
    when channel is not null then 'channel' when priority is not null then 'priority'
    when segment is not null then 'segment' else ''
  end,
  coalesce(channel, priority, segment, ''), null, median
from medians;
