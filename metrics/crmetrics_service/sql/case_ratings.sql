-- One row per case with the latest csat answer that has a score on its scale: satisfaction from 0 to
-- 1, null where nobody answered.
with answers as (
  select
    source_of_cases(source, case_id) as source,
    case_id,
    id,
    responded_at,
    (score - scale_min) / (scale_max - scale_min) as satisfaction
  from live_survey_responses
  where survey_type = 'csat'
    and case_id is not null
    and responded_at is not null
    and score between scale_min and scale_max
    and scale_max > scale_min
),
latest as (
  select source, case_id, arg_max(satisfaction, (responded_at, id)) as satisfaction
  from answers
  group by source, case_id
)
select c.*, l.satisfaction
from live_cases c
left join latest l on l.source = c.source and l.case_id = c.id
