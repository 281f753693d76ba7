-- materialized
-- One row per lead: its first human answer (null while unanswered) and the seconds until it; an
-- answer before the lead's creation has negative seconds.
select
  l.* exclude (first_response_at),
  r.first_response_at,
  (epoch_us(r.first_response_at) - epoch_us(l.created_at)) / 1e6 as response_seconds
from live_leads l
left join lead_first_response r on r.source = l.source and r.lead_id = l.id
