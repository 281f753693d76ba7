-- One row per web session that began a goal; it is abandoned unless the goal was completed in it, or
-- in a later session of the visitor within 24 hours of its beginning.
-- excluded: web_sessions
with begun as (
  select * from live_web_sessions where goal_started_at is not null
),
completed as (
  select source, visitor_id, goal, started_at, goal_completed_at
  from live_web_sessions
  where goal_completed_at is not null and visitor_id is not null
),
resumed as (
  select distinct b.source, b.id
  from begun b
  join completed c
    on c.source = b.source and c.visitor_id = b.visitor_id and c.goal = b.goal
    and c.started_at > b.started_at
    and epoch_us(c.goal_completed_at) - epoch_us(b.goal_started_at) >= 0
    and epoch_us(c.goal_completed_at) - epoch_us(b.goal_started_at) < 24 * 3600000000
  where b.goal_completed_at is null
)
select
  b.source,
  b.id,
  b.visitor_id,
  b.started_at,
  b.goal,
  b.channel,
  b.campaign_id,
  b.goal_completed_at is null and r.id is null as is_abandoned
from begun b
left join resumed r on r.source = b.source and r.id = b.id
