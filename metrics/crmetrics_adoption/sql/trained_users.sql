-- One row per period and active user with a required course; complete when all of them are.
-- excluded: users
select period_start, source, user_id, bool_and(is_complete) as is_complete
from required_courses
group by period_start, source, user_id
