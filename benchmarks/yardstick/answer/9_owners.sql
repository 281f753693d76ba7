-- What owners won in each month, and what of theirs is open until its end.
create temp table owner_deals as
select
  date_trunc('month', day)::date as month, owner_id,
  coalesce(sum(amount) filter (where gone = 0 and is_won), 0) as won,
  coalesce(sum(amount) filter (where gone = 0 and not is_won), 0) as opened,
  count(*) filter (where gone = 0 and is_won) as wins,
  count(*) filter (where gone = 0 and is_won and stated is null) as missing_won,
  count(*) filter (where gone = 0 and not is_won and stated is null) as missing_open,
  count(*) filter (where gone = 0 and is_won and stated is not null and amount is null) as unrated_won,
  count(*) filter (where gone = 0 and not is_won and stated is not null and amount is null) as unrated_open,
  count(*) filter (where gone = 1 and is_won) as deleted_won,
  count(*) filter (where gone = 2 and is_won) as test_won,
  count(*) filter (where gone = 1 and not is_won) as deleted_open,
  count(*) filter (where gone = 2 and not is_won) as test_open
from deals
where day >= date '2024-01-01' and day < date '2026-01-01'
  and (is_won or (not is_closed and day >= date '2025-12-15'))
group by all;
