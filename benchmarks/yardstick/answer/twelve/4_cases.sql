-- Median seconds until the first answer, of the cases answered in each month, and the cases of the
-- month without one at its end.
create temp table case_times as
select
  date_trunc('month', make_timestamp(epoch_us(c.created_at)))::date as opened,
  case
    when c.first_response_at <= timestamptz '2025-12-15 12:00:00'
    then date_trunc('month', make_timestamp(epoch_us(c.first_response_at)))::date
  end as answered,
  epoch_us(c.first_response_at) - epoch_us(c.created_at) as waited,
  coalesce(n.code, 0)::utinyint as channel,
  coalesce(p.code, 0)::utinyint as priority,
  coalesce(a.segment, 0)::utinyint as segment,
  a.id is null and c.account_id is not null as is_orphan,
  case when c.is_deleted then 1 when c.is_test then 2 when c.is_spam then 4 else 0 end::utinyint as gone
from crm.cases c
left join buyers a on a.id = c.account_id and a.gone = 0
left join entries n on n.dimension = 'channel' and n.entry = c.channel
left join entries p on p.dimension = 'priority' and p.entry = c.priority
where c.created_at <= timestamptz '2025-12-15 12:00:00'
  and (c.created_at >= timestamptz '2024-01-01' or c.first_response_at >= timestamptz '2024-01-01');

insert into answer by name
with medians as (
  select
    answered as month,
    case
      when channel is not null then 'channel' when priority is not null then 'priority'
      when segment is not null then 'segment' else ''
    end as dimension,
    coalesce(channel, priority, segment, 0) as code,
    quantile_cont(waited, 0.5) / 1e6 as value,
    count(*) as n
  from case_times
  where gone = 0 and waited >= 0 and answered >= date '2024-01-01'
  group by grouping sets ((answered), (answered, channel), (answered, priority), (answered, segment))
),
odd_rows as (
  select
    answered as month, channel, priority, segment,
    gone = 0 and is_orphan and waited >= 0 as orphan,
    gone = 0 and waited < 0 as invalid_duration,
    false as unanswered,
    gone = 1 and waited >= 0 as excluded_deleted,
    gone = 2 and waited >= 0 as excluded_test,
    gone = 4 and waited >= 0 as excluded_spam
  from case_times
  where answered is not null and (gone > 0 or is_orphan or waited < 0)
  union all
  select opened, channel, priority, segment, false, false, true, false, false, false
  from case_times
  where gone = 0 and opened >= date '2024-01-01' and (answered is null or answered > opened)
),
odd as (
  select
    month,
    case
      when channel is not null then 'channel' when priority is not null then 'priority'
      when segment is not null then 'segment' else ''
    end as dimension,
    coalesce(channel, priority, segment, 0) as code,
    sum(columns(* exclude (month, channel, priority, segment))::integer)
  from odd_rows
  group by grouping sets ((month), (month, channel), (month, priority), (month, segment))
)
select
  'first_response_time' as kpi, m.month, m.dimension, m.value, m.n, o.* exclude (month, dimension, code), e.entry,
  n as rows_used, state(m.month, value) as status, [] as flags
from medians m
left join odd o using (month, dimension, code)
join entries e using (dimension, code);
