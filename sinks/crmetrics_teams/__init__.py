"""The sink `teams`: the report of a job as an Adaptive Card in Microsoft Teams.

sinks:
  team: {sink: teams, webhook_url: ${TEAMS_WEBHOOK_URL}}
"""

from __future__ import annotations

from collections.abc import Sequence

from crmetrics.plugin import Sink, hookimpl

crmetrics_api_version = 1


@hookimpl
def crmetrics_sinks() -> Sequence[type[Sink]]:
    """The sink `teams`."""
    from crmetrics_teams.sink import TeamsSink

    return [TeamsSink]
