-- One row per account that is no partner and that a quality rule left out, with its _reason.
select *, id as account_id
from excluded_accounts
where account_type is distinct from 'partner'
