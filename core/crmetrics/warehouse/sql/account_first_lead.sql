-- One row per account with a lead: (source, account_id, lead_id, lead_source, campaign_id) of its
-- earliest lead, of two at the same instant the one with the smaller id. source is that of the
-- account.
create or replace temp table account_first_lead as
with found as (
    select
        source_of_accounts(source, account_id) as source,
        account_id,
        -- Structs are compared field by field; arg_min by a struct takes twice as long.
        min(
            struct_pack(
                created_at := created_at,
                lead_id := id,
                lead_source := lead_source,
                campaign_id := campaign_id
            )
        ) as lead
    from live_leads
    where account_id is not null
        and created_at is not null
    group by all
)
select
    source,
    account_id,
    lead.lead_id as lead_id,
    lead.lead_source as lead_source,
    lead.campaign_id as campaign_id
from found
