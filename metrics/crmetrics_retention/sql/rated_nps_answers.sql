-- One row per period and answer to an NPS question in it, with the recurring revenue of its account
-- on the snapshot day.
-- excluded: survey_responses
select d.period_start, s.*, m.closing_mrr as mrr
from live_survey_responses s
join period_days d on d.day = local_day(s.responded_at)
left join account_mrr_by_day m
  on m.period_start = d.period_start
  and m.source = source_of_accounts(s.source, s.account_id)
  and m.account_id = s.account_id
where s.survey_type = 'nps'
