-- One row per case with a handled contact: the working seconds of all its contacts.
-- excluded: cases
with contacts as (
  select source_of_cases(source, case_id) as source, case_id, seconds
  from handled_contacts
  where case_id is not null and talk_seconds > 0
),
handling as (
  select source, case_id, sum(seconds) as seconds
  from contacts
  group by source, case_id
)
select c.*, h.seconds
from live_cases c
join handling h on h.source = c.source and h.case_id = c.id
