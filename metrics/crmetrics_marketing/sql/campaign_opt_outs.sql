-- One row per campaign send; is_opt_out marks the one send that an unsubscription counts for: where
-- an opt-out of all mail stands on several sends of a person, the last one before it.
-- excluded: campaign_members
select
  *,
  unsubscribed_at is not null and person_id is not null and row_number() over (
    partition by person_type, person_source, person_id, unsubscribed_at
    order by sent_at <= unsubscribed_at desc, sent_at desc, id desc
  ) = 1 as is_opt_out
from campaign_sends
