"""A lead that is disqualified, opened again and disqualified again, as each CRM tells it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from connectors.hubspot.connecting import connector_for
from connectors.hubspot.connecting import rows as hubspot_rows
from connectors.salesforce.orgs import connector_to, rows_of
from simulators.hubspot import HubSpotSimulator, Pipeline, Stage, property_of
from simulators.salesforce import SalesforceSimulator

BEGAN = datetime(2025, 11, 3, 9, tzinfo=UTC)
DAY = timedelta(days=1)
JUNK, OPEN = "Junk", "Open"
Told = Callable[[list[str]], datetime | None]


def by_salesforce(statuses: list[str]) -> datetime | None:
    with SalesforceSimulator() as salesforce:
        lead = salesforce.org.create("Lead", Status=statuses[-1])
        for days, status in enumerate(statuses):
            salesforce.org.create("LeadHistory", LeadId=lead, Field="Status", NewValue=status,
                                  CreatedDate=BEGAN + days * DAY)  # fmt: skip
        connector = connector_to(salesforce, lead_statuses={JUNK: "disqualified"})
        (row,) = rows_of(connector, "leads", ["disqualified_at"])
        connector.close()
    found: datetime | None = row["disqualified_at"]
    return found


def by_contacts(statuses: list[str]) -> datetime | None:
    with HubSpotSimulator() as service:
        values = {"hs_v2_date_entered_lead": "2025-11-01T09:00:00Z"}
        lead = service.account.create("contacts", values, at=BEGAN - DAY).id
        for days, status in enumerate(statuses):
            words = {JUNK: "UNQUALIFIED", OPEN: "OPEN"}[status]
            service.account.update("contacts", lead, BEGAN + days * DAY, hs_lead_status=words)
        return one(service)


def by_leads(statuses: list[str]) -> datetime | None:
    with HubSpotSimulator() as service:
        account, entered = service.account, "hs_v2_date_entered_66"
        stages = [Stage("o'5", OPEN, {"leadState": "NEW"}),
                  Stage("66", JUNK, {"leadState": "UNQUALIFIED"})]  # fmt: skip
        account.pipelines["leads"] = [Pipeline("p", "Leads", stages)]
        account.objects["leads"].define(property_of(entered, "datetime"))
        values = {"hs_pipeline_stage": "66" if statuses[-1] == JUNK else "o'5",
                  entered: f"{BEGAN + statuses.index(JUNK) * DAY:%Y-%m-%dT%H:%M:%SZ}"}  # fmt: skip
        account.create("leads", values, at=BEGAN)
        return one(service, leads_from="leads")


def one(service: HubSpotSimulator, **options: object) -> datetime | None:
    connector = connector_for(service, **options)
    (row,) = hubspot_rows(connector, "leads", columns=("id", "disqualified_at"))
    connector.close()
    found: datetime | None = row["disqualified_at"]
    return found


@pytest.mark.parametrize("told", [by_salesforce, by_contacts, by_leads])
def test_a_lead_that_was_opened_again_is_not_disqualified(told: Told) -> None:
    """KPIs take it for open then; one that is disqualified was so from the first time on."""
    assert told([OPEN, JUNK]) == BEGAN + DAY
    assert told([OPEN, JUNK, OPEN]) is None
    assert told([OPEN, JUNK, OPEN, JUNK]) == BEGAN + DAY
