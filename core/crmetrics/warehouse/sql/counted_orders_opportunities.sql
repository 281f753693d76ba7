-- Won deals in the place of orders, placed at 00:00 of their close date; a deal knows no refund.
-- The columns are those of orders. As with orders, the deals of deleted accounts do not count.
create or replace temp view counted_orders as
select
    opportunities.source,
    opportunities.id,
    opportunities.account_id,
    opportunities.id as opportunity_id,
    opportunities.campaign_id,
    'paid' as status,
    opportunities.currency,
    day_start(opportunities.close_date) as ordered_at,
    day_start(opportunities.close_date) as booked_at,
    opportunities.close_date as booked_on,
    opportunities.close_date as rate_day,
    opportunities.amount,
    opportunities.amount as total_amount,
    null::decimal(18, 4) as refunded_amount,
    null::timestamptz as refunded_at,
    false as is_refund,
    false as is_fully_refunded,
    opportunities.updated_at
from live_opportunities as opportunities
anti join gone_accounts as gone
    on gone.source = opportunities.source
    and gone.id = opportunities.account_id
where opportunities.is_won
    and opportunities.close_date <= $as_of_day
