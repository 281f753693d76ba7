"""The log of deals put together from their field history, where the org hides the log itself.

There is no record of how a deal began: that is what the first change of a field replaced, or the
present value where nothing changed. And field history is kept for 18 to 24 months only: of older
deals the rows that earlier reads left (`former`) say what was before the changes that are left, and
also of fields that are not tracked. Where nothing says it, a deal that is closed at the first that
is known of it has no stage until it was closed.
"""

from __future__ import annotations

from crmetrics_salesforce.history import KNOWN_STAGES, STAGES
from crmetrics_salesforce.streams import Companion, Extra, Stream

_TRACKED = {
    "StageName": ("varchar", "stage", "former.stage"),
    "Amount": ("double", "amount", "former.amount::double"),
    "CloseDate": ("date", "close_date", "former.close_date"),
    "Probability": ("double", "probability", "former.probability * 100"),
}
"""The fields that the log of deals follows: what their texts in the field history are, the column
that they fill, and SQL of its stored value."""

_LISTED = ", ".join(f"'{name}'" for name in _TRACKED)


def _followed(name: str) -> tuple[str, str]:
    """SQL of one field's value at a moment, and the joins that it needs: what the last change
    before left; before the first change what was read of it, which also knows of the time when it
    was not tracked, else what that change replaced, or what is now where there is none. Each may be
    null: an amount often comes later than its deal."""
    kind, column, stored = _TRACKED[name]
    values = f"""(
        select OpportunityId, CreatedDate, arg_max_null(NewValue, Id) as after_,
            arg_min_null(OldValue, Id) as before_, count(*) as changes
        from changes
        where Field = '{name}'
        group by all
    )"""
    is_vague = "when vague.KnownAt > moments.EnteredAt then null" if name == "StageName" else ""
    value = f"""case {is_vague}
                when {name}_last.changes > 0 then try_cast({name}_last.after_ as {kind})
                when former.id is not null and '{column}' in (select name from held_before)
                    then {stored}
                when {name}_first.changes > 0 then try_cast({name}_first.before_ as {kind})
                else main.{name}
            end as {name},
            {name}_first.changes is not null as {name}IsKnown"""
    joins = f"""
    asof left join {values} {name}_last
        on {name}_last.OpportunityId = moments.OpportunityId
        and {name}_last.CreatedDate <= moments.EnteredAt
    left join (
        select OpportunityId, arg_min_null(before_, CreatedDate) as before_,
            sum(changes) as changes
        from {values} group by OpportunityId
    ) {name}_first on {name}_first.OpportunityId = moments.OpportunityId"""
    return value, joins


_MOMENTS = f"""
    {KNOWN_STAGES},
    changes as (
        select field_changes.*
        from field_changes join main on main.Id = field_changes.OpportunityId
        where Field in ({_LISTED}) and field_changes.CreatedDate > main.CreatedDate
    ),
    first_changes as (
        select OpportunityId, min(CreatedDate) as EnteredAt from changes group by OpportunityId
    ),
    remembered as (
        -- Rows of before the changes that are left, and those that no change told of.
        select former.*
        from former
        join main on main.Id = former.opportunity_id
        left join first_changes on first_changes.OpportunityId = former.opportunity_id
        where former.entered_at is not null
            and (
                former.entered_at < coalesce(first_changes.EnteredAt, 'infinity')
                or starts_with(former.id, former.opportunity_id || ':')
            )
    ),
    vague as (
        -- Closed at the first that is known of it, after it was made, and nothing tells its stages
        -- until then: its history is too old, or nobody tracks it.
        select OpportunityId, KnownAt, is_told
        from (
            select main.Id as OpportunityId, main.CreatedDate, first_told.at is not null as is_told,
                coalesce(first_told.at, least(
                    timezone(zone.name, try_cast(main.CloseDate as timestamp)),
                    main.SystemModstamp::timestamptz
                )) as KnownAt
            from main
            cross join zone
            left join (
                select OpportunityId, min(CreatedDate) as at,
                    arg_min_null(OldValue, (CreatedDate, Id)) as stage
                from changes
                where Field = 'StageName'
                group by all
            ) first_told on first_told.OpportunityId = main.Id
            join known_stages on known_stages.label
                = case when first_told.at is null then main.StageName else first_told.stage end
            where known_stages.IsClosed
                and main.Id not in (select opportunity_id from remembered)
                and (
                    main.CreatedDate < (select max(instant::timestamptz) from aged)
                    or main.Id not in (select OpportunityId from field_changes)
                )
        )
        where KnownAt > CreatedDate + interval 1 second
    ),
    moments as (
        select OpportunityId, CreatedDate as EnteredAt, min(Id) as RowId, false as IsForgotten
        from changes
        group by all
        union all
        select remembered.opportunity_id, remembered.entered_at, remembered.id,
            main.CreatedDate < (select max(instant::timestamptz) from aged)
        from remembered join main on main.Id = remembered.opportunity_id
        union all
        select Id, CreatedDate, Id || ':0', false
        from main
        where Id not in (select opportunity_id from remembered)
        union all
        select OpportunityId, KnownAt, OpportunityId || ':' || epoch_us(KnownAt), false
        from vague
        where not is_told
    ),"""


def _states() -> str:
    """SQL of the deals as they were from each moment on."""
    followed = [_followed(name) for name in _TRACKED]
    return f"""
    states as (
        select moments.OpportunityId, moments.EnteredAt, moments.RowId,
            case when moments.IsForgotten then former.stay_id end as Stay,
            {", ".join(value for value, _ in followed)}
        from moments {"".join(joins for _, joins in followed)}
        join main on main.Id = moments.OpportunityId
        left join former on former.id = moments.RowId
        left join vague on vague.OpportunityId = moments.OpportunityId
    ),
    last_states as (
        select distinct on (OpportunityId) * from states order by OpportunityId, EnteredAt desc
    ),"""


def _story() -> str:
    """SQL of the same, with what no change told of."""
    present = ", ".join(
        f"case when {name}IsKnown then last_states.{name} else main.{name} end" for name in _TRACKED
    )
    return f"""
    unseen as (
        -- No change of a field tells, and yet the deal is not as it was read: not tracked.
        select last_states.OpportunityId,
            greatest(main.SystemModstamp::timestamptz, last_states.EnteredAt + interval 1 second)
                as EnteredAt,
            {present}
        from last_states join main on main.Id = last_states.OpportunityId
        where OpportunityId in (select opportunity_id from remembered)
            and (
                (not StageNameIsKnown and last_states.StageName is distinct from main.StageName)
                or (not CloseDateIsKnown and last_states.CloseDate is distinct from main.CloseDate)
                or (not AmountIsKnown and coalesce(
                    abs(last_states.Amount - main.Amount) > 0.0001,
                    last_states.Amount is distinct from main.Amount
                ))
                or (not ProbabilityIsKnown and coalesce(
                    abs(last_states.Probability - main.Probability) > 0.0001,
                    last_states.Probability is distinct from main.Probability
                ))
            )
    ),
    story as (
        select OpportunityId, EnteredAt, RowId, Stay, {", ".join(_TRACKED)} from states
        union all
        select OpportunityId, EnteredAt, OpportunityId || ':' || epoch_us(EnteredAt), null,
            * exclude (OpportunityId, EnteredAt)
        from unseen
    ),"""


_STAYS = """
    steps as (
        select *, lead(EnteredAt) over deal as ExitedAt,
            case when lag(RowId) over deal is null
                or StageName is distinct from lag(StageName) over deal
                then coalesce(Stay, RowId) end as starts
        from story
        window deal as (partition by OpportunityId order by EnteredAt, RowId)
    )
    select steps.* exclude (Stay, starts), main.IsDeleted, main.SystemModstamp,
        last_value(starts ignore nulls) over (
            partition by steps.OpportunityId
            order by steps.EnteredAt, steps.RowId rows unbounded preceding
        ) as StayId,
        coalesce(known_stages.IsClosed, former.is_closed) as StageIsClosed,
        coalesce(known_stages.IsWon, former.is_won) as StageIsWon
    from steps
    join main on main.Id = steps.OpportunityId
    left join known_stages on known_stages.label = steps.StageName
    left join former on former.id = steps.RowId"""


_FIELDS = {
    "id": "RowId",
    "is_deleted": "IsDeleted",
    "opportunity_id": "OpportunityId",
    "stay_id": "StayId",
    "stage": "StageName",
    "entered_at": "EnteredAt",
    "exited_at": "ExitedAt",
    "is_closed": "StageIsClosed",
    "is_won": "StageIsWon",
    "amount": "Amount",
    "probability": "Probability / 100",
    "close_date": "CloseDate",
}
_PUT_TOGETHER = (
    "RowId", "OpportunityId", "EnteredAt", "ExitedAt", "StayId", "StageIsClosed", "StageIsWon",
)  # fmt: skip
_CHANGES = Companion(
    "field_changes",
    "OpportunityFieldHistory",
    ("Id", "OpportunityId", "Field", "OldValue", "NewValue", "CreatedDate"),
    link="OpportunityId",
    touches=True,
)

FIELD_HISTORY_STREAM = Stream(
    "opportunity_stage_history",
    "Opportunity",
    _FIELDS,
    relation=f"(with {_MOMENTS}{_states()}{_story()}{_STAYS})",
    base=("Id", "IsDeleted", "CreatedDate", "SystemModstamp", *_TRACKED),
    companions=(_CHANGES, STAGES),
    extras={name: Extra("") for name in _PUT_TOGETHER},
    instead_of="OpportunityHistory",
    removals="none",
    belongs_to=("Opportunity", "opportunity_id"),
    remembered=tuple(name for name in _FIELDS if name not in ("id", "is_deleted", "exited_at")),
)
