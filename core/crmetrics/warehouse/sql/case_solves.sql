-- One row per case: (source, case_id, first_solved_at, last_solved_at, reopen_count). A solve is a
-- move into the category solved, a reopen a move out of it. A case without history was solved at
-- closed_at, how often it was reopened is unknown. History of a case that is not loaded is kept.
create or replace temp view case_solves as
with stays as (
    select
        source_of_cases(source, case_id) as source,
        case_id,
        id,
        status_category,
        entered_at,
        exited_at
    from live_case_status_history
    where case_id is not null
        and entered_at is not null
        and status_category is not null
),
moves as (
    select
        source,
        case_id,
        entered_at,
        status_category = 'solved' as is_solved,
        lag(status_category, 1, '') over (
            partition by source, case_id
            order by entered_at, exited_at nulls last, id
        ) = 'solved' as was_solved
    from stays
),
solves as (
    select
        source,
        case_id,
        min(entered_at) filter (where is_solved and not was_solved) as first_solved_at,
        max(entered_at) filter (where is_solved and not was_solved) as last_solved_at,
        count(*) filter (where was_solved and not is_solved) as reopen_count
    from moves
    group by source, case_id
)
select
    coalesce(cases.source, solves.source) as source,
    coalesce(cases.id, solves.case_id) as case_id,
    case when solves.case_id is null then cases.closed_at else solves.first_solved_at end
        as first_solved_at,
    case when solves.case_id is null then cases.closed_at else solves.last_solved_at end
        as last_solved_at,
    solves.reopen_count
from live_cases as cases
full join solves
    on solves.source = cases.source
    and solves.case_id = cases.id
