"""Rows that are made of several records: stays in stages and statuses, first and last events."""

from __future__ import annotations

from crmetrics_salesforce.streams import Companion, Extra

# --- deals -----------------------------------------------------------------------------------

STAGES = Companion(
    "stages", "OpportunityStage", ("Id", "ApiName", "MasterLabel", "IsClosed", "IsWon")
)

STAGE_HISTORY_BASE = ("Id", "OpportunityId", "StageName", "CreatedDate")

KNOWN_STAGES = """known_stages as (
        select coalesce(ApiName, MasterLabel) as label, bool_or(IsClosed) as IsClosed,
            bool_or(IsWon) as IsWon
        from stages
        group by all
    )"""
"""SQL of what a stage means, by its name."""

STAGE_HISTORY = f"""(
    with steps as (
        select
            *,
            lead(CreatedDate) over story as ExitedAt,
            case when StageName is distinct from lag(StageName) over story then Id end as starts
        from main
        window story as (partition by OpportunityId order by CreatedDate, Id)
    ),
    {KNOWN_STAGES}
    select
        steps.*,
        last_value(starts ignore nulls) over (
            partition by OpportunityId order by CreatedDate, Id rows unbounded preceding
        ) as StayId,
        known_stages.IsClosed as StageIsClosed,
        known_stages.IsWon as StageIsWon
    from steps left join known_stages on known_stages.label = steps.StageName
)"""

CLOSED_AT = Extra(
    "case when m.IsClosed then closings.entered_at end",
    """left join (
        select OpportunityId, max(CreatedDate) as entered_at
        from (
            select OpportunityId, CreatedDate,
                StageName is distinct from lag(StageName) over (
                    partition by OpportunityId order by CreatedDate, Id
                ) as is_entry
            from stage_rows
        )
        where is_entry
        group by OpportunityId
    ) closings on closings.OpportunityId = m.Id""",
    ("IsClosed",),
    (
        Companion(
            "stage_rows",
            "OpportunityHistory",
            ("Id", "OpportunityId", "StageName", "CreatedDate"),
            link="OpportunityId",
        ),
    ),
)

# --- leads -----------------------------------------------------------------------------------

LEAD_CAMPAIGN = Extra(
    "first_campaigns.CampaignId",
    """left join (
        select LeadId, arg_min(CampaignId, CreatedDate) as CampaignId
        from memberships
        where not IsDeleted
        group by LeadId
    ) first_campaigns on first_campaigns.LeadId = m.Id""",
    (),
    (
        Companion(
            "memberships",
            "CampaignMember",
            ("Id", "LeadId", "CampaignId", "CreatedDate", "IsDeleted"),
            link="LeadId",
            where="LeadId != null",
            touches=True,
        ),
    ),
)


def _earlier(at: str, column: str) -> str:
    """The first of two instants: that of the records that are left, and that read before."""
    return f"least({at}, {column}_former.{column})"


def _join_former(column: str) -> str:
    return f"left join former {column}_former on {column}_former.id = m.Id"


def reached(statuses: tuple[str, ...], meaning: str) -> Extra:
    """When a lead first got one of these statuses; one that is disqualified no longer is open."""
    table, column = f"{meaning}_entries", f"{meaning}_at"
    listed = ", ".join("'" + status.replace("'", "''") + "'" for status in statuses)
    at, needs = _earlier(f"{table}.at", column), tuple[str, ...]()
    if meaning == "disqualified":
        at, needs = f"case when m.Status in ({listed}) then {at} end", ("Status",)
    return Extra(
        at,
        f"""left join (
            select LeadId, min(CreatedDate) as at
            from lead_changes
            where NewValue in ({listed})
            group by LeadId
        ) {table} on {table}.LeadId = m.Id
        {_join_former(column)}""",
        needs,
        (
            Companion(
                "lead_changes",
                "LeadHistory",
                ("Id", "LeadId", "NewValue", "CreatedDate"),
                link="LeadId",
                where="Field = 'Status'",
                touches=True,
            ),
        ),
    )


# --- orders ----------------------------------------------------------------------------------

_STATUS_BY_CODE = (
    "case when lower(Status) in ('placed', 'paid', 'fulfilled', 'cancelled', 'draft') "
    "then lower(Status) when StatusCode ilike 'D%' then 'draft' "
    "when regexp_matches(StatusCode, '^C|^E', 'i') then 'cancelled' else 'placed' end"
)
ORDER_STATUS = (_STATUS_BY_CODE, _STATUS_BY_CODE.replace("StatusCode", "Status"))
"""The second is for users from whom StatusCode is hidden."""


def _refunds(suffix: str, status: str, fields: tuple[str, ...]) -> dict[str, Extra]:
    """What reduction orders took back of an order, and on which day the last of them did.

    The day stays a day here: only the mapping knows in which zone it begins.
    """
    reductions = Companion(
        "reductions",
        "Order",
        ("Id", "OriginalOrderId", "TotalAmount", "EffectiveDate", "IsDeleted", *fields),
        link="OriginalOrderId",
        where="IsReductionOrder = true",
        touches=True,
    )
    join = f"""left join (
        select OriginalOrderId, sum(abs(TotalAmount)) as amount, max(EffectiveDate) as day
        from reductions
        where not IsDeleted and ({status}) not in ('draft', 'cancelled')
        group by OriginalOrderId
    ) refunds on refunds.OriginalOrderId = m.Id"""
    return {
        f"Refunded{what}{suffix}": Extra(f"refunds.{column}", join, (), (reductions,))
        for what, column in (("Amount", "amount"), ("Day", "day"))
    }


REFUNDS = {
    **_refunds("", ORDER_STATUS[0], ("Status", "StatusCode")),
    **_refunds("WithoutCode", ORDER_STATUS[1], ("Status",)),
}

# --- cases -----------------------------------------------------------------------------------

_CASE_CHANGES = Companion(
    "status_changes",
    "CaseHistory",
    ("Id", "CaseId", "OldValue", "NewValue", "CreatedDate"),
    link="CaseId",
    where="Field = 'Status'",
    touches=True,
)
_CASE_STATUSES = Companion(
    "statuses", "CaseStatus", ("Id", "ApiName", "MasterLabel", "IsClosed", "IsDefault")
)
CASE_HISTORY_COMPANIONS = (_CASE_CHANGES, _CASE_STATUSES)
CASE_HISTORY_BASE = ("Id", "Status", "CreatedDate", "IsDeleted")

CASE_HISTORY = r"""(
    with known as (
        select coalesce(ApiName, MasterLabel) as label, bool_or(IsClosed) as is_closed,
            bool_or(IsDefault) as is_default
        from statuses
        group by all
    ),
    categories as (
        select status,
            coalesce(
                configured.category,
                case
                    when known.is_closed
                        or regexp_matches(status, '\b(closed|solved|resolved)', 'i')
                        then 'solved'
                    when regexp_matches(status, 'waiting|pending|customer', 'i') then 'pending'
                    when regexp_matches(status, 'hold|third|vendor', 'i') then 'on_hold'
                    when known.is_default or status ilike 'new%' then 'new'
                    else 'open'
                end
            ) as category
        from (
            select Status as status from main
            union select OldValue from status_changes
            union select NewValue from status_changes
            union select status from former
        ) stated
        left join known on known.label = stated.status
        left join configured_statuses configured using (status)
        where status is not null
    ),
    told as (
        select CaseId, min(CreatedDate) as since from status_changes group by CaseId
    ),
    remembered as (
        -- The first changes of an old case may be gone: then what was read of them is true.
        select former.*
        from former
        left join told on told.CaseId = former.case_id
        where former.entered_at is not null
            and (told.since is null or former.entered_at < told.since)
            and former.id not in (select Id from status_changes)
    ),
    begins as (
        select * from remembered where id = case_id || ':0'
    ),
    moves as (
        select *, row_number() over (partition by CaseId order by EnteredAt, RowId) as number
        from (
            select CaseId, Id as RowId, OldValue, NewValue as RowStatus,
                null::varchar as RowCategory, CreatedDate as EnteredAt
            from status_changes
            union all
            select case_id, id, null, status, status_category, entered_at
            from remembered
            where id <> case_id || ':0'
        )
    ),
    told_begins as (
        -- There is no record of the first status: it is what the first change left.
        select main.Id as CaseId,
            case
                when moves.OldValue is not null then moves.OldValue
                when begins.id is not null then begins.status
                else main.Status
            end as RowStatus,
            case when moves.OldValue is null then begins.status_category end as RowCategory,
            begins.id is not null and begins.status_category is null
                and 'status_category' in (select name from held_before) as was_unknown,
            not coalesce(main.IsClosedOnCreate::boolean, false) and (
                moves.OldValue is not null
                or main.ClosedDate::timestamptz > main.CreatedDate + interval 1 second
            ) as was_closed_later
        from main
        left join moves on moves.CaseId = main.Id and moves.number = 1
        left join begins on begins.case_id = main.Id
    ),
    unknown as (
        -- What is solved at the first that is known of it and was closed after it was made: nothing
        -- tells what it was until then, nor how often it was solved and opened again.
        select told_begins.CaseId
        from told_begins
        left join categories on categories.status = told_begins.RowStatus
        where was_unknown
            or (
                was_closed_later
                and coalesce(categories.category, told_begins.RowCategory) = 'solved'
            )
    ),
    seen as (
        select main.Id as CaseId, main.Id || ':0' as RowId, 0 as number,
            case when unknown.CaseId is null then told_begins.RowStatus end as RowStatus,
            case when unknown.CaseId is null then told_begins.RowCategory end as RowCategory,
            main.CreatedDate as EnteredAt
        from main
        join told_begins on told_begins.CaseId = main.Id
        left join unknown on unknown.CaseId = main.Id
        union all
        select CaseId, RowId, number, RowStatus, RowCategory, EnteredAt from moves
    ),
    last_seen as (
        select distinct on (CaseId) seen.*,
            coalesce(categories.category, seen.RowCategory) as category
        from seen left join categories on categories.status = seen.RowStatus
        order by CaseId, number desc
    ),
    unseen as (
        -- No change is left, or none was tracked, and yet the case is not as it was read.
        select main.Id as CaseId,
            greatest(
                coalesce(main.ClosedDate::timestamptz, main.SystemModstamp::timestamptz),
                last_seen.EnteredAt
            ) as EnteredAt,
            last_seen.number + 1 as number, main.Status as RowStatus
        from main
        join last_seen on last_seen.CaseId = main.Id
        join categories on categories.status = main.Status
        where main.Id not in (select CaseId from told)
            and (
                categories.category <> coalesce(last_seen.category, 'solved')
                or (last_seen.number = 0 and last_seen.RowStatus <> main.Status)
            )
    ),
    rows_ as (
        select * from seen
        union all
        select CaseId, CaseId || ':' || epoch_us(EnteredAt), number, RowStatus, null, EnteredAt
        from unseen
        where EnteredAt is not null
    )
    select
        main.*, rows_.RowId, rows_.RowStatus, rows_.EnteredAt,
        coalesce(
            lead(rows_.EnteredAt) over (partition by rows_.CaseId order by rows_.number),
            case when is_unknown then greatest(
                coalesce(main.ClosedDate::timestamptz, main.SystemModstamp::timestamptz),
                rows_.EnteredAt
            ) end
        ) as ExitedAt,
        case when not is_unknown
            then coalesce(categories.category, rows_.RowCategory, 'open') end as StatusCategory
    from (
        select *, number = 0 and CaseId in (select CaseId from unknown) as is_unknown from rows_
    ) rows_
    join main on main.Id = rows_.CaseId
    left join categories on categories.status = rows_.RowStatus
)"""

CASE_ESCALATION = Extra(
    _earlier("escalations.at", "escalated_at"),
    f"""left join (
        select CaseId, min(CreatedDate) as at
        from escalation_changes
        where lower(NewValue) = 'true'
        group by CaseId
    ) escalations on escalations.CaseId = m.Id
    {_join_former("escalated_at")}""",
    (),
    (
        Companion(
            "escalation_changes",
            "CaseHistory",
            ("Id", "CaseId", "NewValue", "CreatedDate"),
            link="CaseId",
            where="Field = 'IsEscalated'",
            touches=True,
        ),
    ),
)
WAS_ESCALATED = Extra(
    "coalesce(is_escalated_former.is_escalated, false)", _join_former("is_escalated")
)


# --- users -----------------------------------------------------------------------------------

LEFT_AT = Extra(
    # No field says when. The first read that sees a user inactive takes the last change of the
    # user, which is not earlier, and it stays with that whatever changes later.
    "case when not m.IsActive then coalesce(left_before.at::timestamptz, m.LastModifiedDate) end",
    "left join left_before on left_before.id = m.Id",
    ("IsActive", "LastModifiedDate"),
)
