-- One row per period and contact with enough delivered sends to be judged: reachable at the
-- snapshot, whether its last sends brought nothing, and when it last clicked or responded.
-- excluded: contacts
with sends as (
  select
    p.period_start,
    source_of_contacts(m.source, m.contact_id) as source,
    m.contact_id,
    struct_pack(sent_at := m.sent_at, id := m.id) as send,
    coalesce(m.delivered_at < p.snapshot_at, false) as is_delivered,
    coalesce(m.bounced_at < p.snapshot_at, false) as is_bounced,
    greatest(
      case when m.clicked_at >= m.sent_at and m.clicked_at < p.snapshot_at then m.clicked_at end,
      case
        when m.responded_at >= m.sent_at and m.responded_at < p.snapshot_at then m.responded_at
      end
    ) as engaged_at,
    (m.clicked_at < m.sent_at)::int as early_clicks,
    (m.responded_at < m.sent_at)::int as early_responses
  from live_campaign_members m
  join periods p on m.sent_at < p.snapshot_at
  where m.contact_id is not null
),
histories as (
  select
    period_start,
    source,
    contact_id,
    arg_max(engaged_at is not null, send, $last_sends) filter (where is_delivered) as reactions,
    arg_max(is_bounced, send) as is_bounced,
    max(engaged_at) as last_engaged_at,
    coalesce(sum(early_clicks), 0) + coalesce(sum(early_responses), 0) as early_reactions
  from sends
  group by period_start, source, contact_id
)
select
  h.period_start,
  c.source,
  h.contact_id,
  c.account_id,
  h.last_engaged_at,
  strftime(local_day(h.last_engaged_at), '%Y-%m') as last_engaged_month,
  not list_contains(h.reactions, true) as is_disengaged,
  (epoch_us(p.snapshot_at) - epoch_us(h.last_engaged_at)) / 86400e6 as silent_days,
  h.early_reactions,
  c.updated_at
from histories h
join periods p on p.period_start = h.period_start
join live_contacts c
  on c.source = h.source and c.id = h.contact_id and c.created_at < p.snapshot_at
where c.email_opted_out is not true
  and not h.is_bounced
  and len(h.reactions) = $last_sends
