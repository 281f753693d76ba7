-- Rows of marketing_spend with the channel and the days of their campaign; channel is the
-- campaign's, else the row's. days is the length of the campaign, null unless both ends are known
-- and in order.
create or replace temp view campaign_spend as
with spend as (
    select *, source_of_campaigns(source, campaign_id) as campaign_source
    from live_marketing_spend
)
select
    spend.source,
    spend.id,
    spend.spend_date,
    spend.campaign_id,
    coalesce(campaigns.channel, spend.channel) as channel,
    spend.amount,
    spend.currency,
    campaigns.start_date,
    campaigns.end_date,
    case
        when campaigns.end_date >= campaigns.start_date
        then campaigns.end_date - campaigns.start_date + 1
    end as days,
    spend.updated_at
from spend
left join live_campaigns as campaigns
    on campaigns.source = spend.campaign_source
    and campaigns.id = spend.campaign_id
