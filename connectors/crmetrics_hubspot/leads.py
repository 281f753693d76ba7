"""Instants of the leads object: when a lead entered the stages that mean something."""

from __future__ import annotations

from collections.abc import Mapping

from crmetrics_hubspot.account import Account
from crmetrics_hubspot.pipelines import PROPERTIES, Pipelines
from crmetrics_hubspot.properties import stage_date
from crmetrics_hubspot.streams import Stream

_BY_STATE = {"disqualified_at": "UNQUALIFIED", "converted_at": "QUALIFIED"}
"""Where the project file names no stages: those of the pipelines that HubSpot itself marks."""
_STAGE = PROPERTIES["leads"][1]


def stage_entries(account: Account, stream: Stream) -> Mapping[str, str]:
    """Entries for the instants of leads: the first entry into one of the stages behind each.

    A lead that is in none of the disqualified ones any more is open again.
    """
    if stream.kind != "leads":
        return {}
    pipelines = account.pipelines("leads")
    known = account.properties.of("leads")
    found = {}
    for column in ("mql_at", "sql_at", "disqualified_at", "converted_at"):
        stages = _stages(account, pipelines, column)
        dates = [name for stage in stages if (name := stage_date(known, stage))]
        if dates:
            found[column] = f"least({', '.join(dates)})" if len(dates) > 1 else dates[0]
        if dates and column == "disqualified_at":
            now = ", ".join("'" + stage.replace("'", "''") + "'" for stage in stages)
            found[column] = f"case when {_STAGE} in ({now}) then {found[column]} end"
    return found


def _stages(account: Account, pipelines: Pipelines, column: str) -> list[str]:
    named = account.config.lead_stages.get(column)  # type: ignore[call-overload]
    if named is not None:
        return [stage.id for stage in pipelines.named(named)]
    state = _BY_STATE.get(column)
    return [stage.id for stage in pipelines.stages.values() if state and stage.state == state]
