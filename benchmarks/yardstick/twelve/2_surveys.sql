-- Net promoter score of the answers of each month.
insert into answer
with counted as (
  select
    date_trunc('month', make_timestamp(epoch_us(s.responded_at)))::date as month,
    coalesce(a.segment, '(none)') as segment,
    coalesce(a.country, '(none)') as country,
    coalesce(a.industry, '(none)') as industry,
    count(*) filter (where score >= 9) - count(*) filter (where score < 7) as surplus,
    count(*) as answers
  from crm.survey_responses s
  left join accounts a on a.id = s.account_id
  where not s.is_deleted and not s.is_test and s.survey_type = 'nps' and s.score is not null
    and s.responded_at >= timestamptz '2024-01-01' and s.responded_at <= timestamptz '2025-12-15 12:00:00'
  group by month, a.segment, a.country, a.industry
),
summed as (
  select month, segment, country, industry, sum(surplus) as surplus, sum(answers) as answers
  from counted
  group by grouping sets ((month), (month, segment), (month, country), (month, industry))
)
select
  'net_promoter_score', month,
  case
    when segment is not null then 'segment' when country is not null then 'country'
    when industry is not null then 'account.industry' else ''
  end,
  coalesce(segment, country, industry, ''), null, 100 * surplus / answers
from summed;
