-- Net promoter score of the answers of each month; no answer names a contact, so each counts.
create temp macro spread(up, down, size) as
  195.9963984540054 * sqrt(greatest(0, (up + down) / size - ((up - down) / size) ** 2) / size);

insert into answer by name
with counted as (
  select
    date_trunc('month', make_timestamp(epoch_us(s.responded_at)))::date as month,
    coalesce(a.segment, 0)::utinyint as segment,
    coalesce(a.country, 0)::utinyint as country,
    coalesce(a.industry, 0)::utinyint as industry,
    a.id is null and s.account_id is not null as is_orphan,
    case when s.is_deleted then 1 when s.is_test then 2 else 0 end as gone,
    s.score is null as is_missing,
    not coalesce(s.score between 0 and 10, true) or s.scale_min <> 0 or s.scale_max <> 10 as is_misfit,
    count(*) filter (where score >= 9) as promoters,
    count(*) filter (where score < 7) as detractors,
    count(*) as answers
  from crm.survey_responses s
  left join buyers a on a.id = s.account_id and a.gone = 0
  where s.survey_type = 'nps'
    and s.responded_at >= timestamptz '2024-01-01' and s.responded_at <= timestamptz '2025-12-15 12:00:00'
  group by all
),
summed as (
  select
    month,
    case
      when segment is not null then 'segment' when country is not null then 'country'
      when industry is not null then 'account.industry' else ''
    end as dimension,
    coalesce(segment, country, industry, 0) as code,
    coalesce(sum(answers) filter (where gone = 0 and not is_missing and not is_misfit), 0) as n,
    sum(promoters) filter (where gone = 0 and not is_missing and not is_misfit) as promoters,
    sum(detractors) filter (where gone = 0 and not is_missing and not is_misfit) as detractors,
    sum(answers) filter (where gone = 0 and is_orphan and not is_missing and not is_misfit) as orphans,
    sum(answers) filter (where gone = 0 and is_missing) as missing_score,
    sum(answers) filter (where gone = 0 and is_misfit) as out_of_scale,
    sum(answers) filter (where gone = 1 and not is_missing and not is_misfit) as excluded_deleted,
    sum(answers) filter (where gone = 2 and not is_missing and not is_misfit) as excluded_test
  from counted
  group by grouping sets ((month), (month, segment), (month, country), (month, industry))
)
select
  'net_promoter_score' as kpi, s.* exclude (code, promoters, detractors, orphans), e.entry,
  n as rows_used,
  -- The latest answers of the total are looked for without following a key.
  case when s.dimension <> '' then orphans end as orphan,
  100 * (promoters - detractors) / n as value,
  value - spread(promoters, detractors, n) as interval_low,
  value + spread(promoters, detractors, n) as interval_high,
  state(month, value) as status,
  list_filter([case when n < 10 then 'low_sample' end], lambda mark: mark is not null) as flags
from summed s
join entries e using (dimension, code)
where n > 0;
