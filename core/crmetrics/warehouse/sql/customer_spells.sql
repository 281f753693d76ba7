-- One row per uninterrupted time as a customer: (source, account_id, start_date, end_date). source
-- is that of the account, end_date is exclusive, null = still a customer. A span that begins at
-- most the days of grace after the last one ended continues the spell.
create or replace temp view customer_spells as
with starts as (
    select source, account_id, start_date, max(coalesce(end_date, date 'infinity')) as end_date
    from customer_spans
    group by source, account_id, start_date
),
marked as (
    select
        source,
        account_id,
        start_date,
        end_date,
        start_date - $grace_days <= max(end_date) over (
            partition by source, account_id
            order by start_date
            rows between unbounded preceding and 1 preceding
        ) as is_continued
    from starts
),
numbered as (
    select
        source,
        account_id,
        start_date,
        end_date,
        count(*) filter (where is_continued is not true) over (
            partition by source, account_id
            order by start_date
            rows between unbounded preceding and current row
        ) as spell
    from marked
)
select
    source,
    account_id,
    min(start_date) as start_date,
    nullif(max(end_date), date 'infinity') as end_date
from numbered
group by source, account_id, spell
