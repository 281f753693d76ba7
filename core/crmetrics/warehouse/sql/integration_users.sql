-- Users that are machines (rule E4), deleted and merged-away ones too: what they did stays machine
-- work.
create or replace temp view integration_users as
select source, id
from live_users
where user_type = 'integration'
union all
select source, id
from excluded_users
where user_type = 'integration'
