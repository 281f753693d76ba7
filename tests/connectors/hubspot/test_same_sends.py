"""The e-mails of the generated CRM: the same KPIs from files and from HubSpot's log of events.

Salesforce knows neither deliveries nor clicks, so that these two are compared by themselves: of
the sends those by e-mail to contacts, with the first click as the response, in both.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.test_same_crm import Served, differences, from_files, named, open_project
from crmetrics.testing import SampleCrm
from simulators.hubspot import HubSpotSimulator, Limits
from simulators.hubspot.sample import serve_sample, source_section
from simulators.hubspot.sample.sends import is_in_log

KPIS = (
    "campaign_volume", "campaign_volume.people", "campaign_volume.active_campaigns",
    "campaign_volume.sends_per_person", "campaign_response_rate",
    "campaign_response_rate.click_rate", "campaign_response_rate.open_rate", "unsubscribe_rate",
    "unsubscribe_rate.blocked_rate", "disengaged_contacts", "disengaged_contacts.share",
    "disengaged_contacts.silent_days",
)  # fmt: skip


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    crm = SampleCrm(scale=0.1)
    channels = {row["id"]: row["channel"] for row in crm.records["campaigns"]}
    sends = [row for row in crm.records["campaign_members"] if is_in_log(row, channels)]
    told = [_livelier(row, number) for number, row in enumerate(sends)]
    crm.records = {**crm.records, "campaign_members": told}
    return crm


def _livelier(row: dict[str, Any], number: int) -> dict[str, Any]:
    """At this scale nobody leaves by himself; some do so in the week after."""
    row = {**row, "responded_at": row.get("clicked_at")}
    if row.get("delivered_at") and number % 11 == 0:
        row["unsubscribed_at"] = row["delivered_at"] + timedelta(hours=number % 150)
    if row.get("delivered_at") and number % 17 == 0:
        row["complained_at"] = row["delivered_at"] + timedelta(minutes=number)
    return row


@pytest.fixture(scope="module")
def both(crm: SampleCrm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, Served]:
    """From files and from HubSpot."""
    limits = Limits(per_ten_s=1_000_000, searches_per_s=1_000_000, per_day=None)
    with HubSpotSimulator(limits=limits) as service:
        service.clock.now = crm.exported_at
        service.account.log.page_cap = 50
        world = serve_sample(service.account, crm)
        source = source_section(service.base_url, service.token)
        del source["datasets"]["campaign_members"]  # no custom object: the log
        project = open_project(tmp_path_factory.mktemp("hubspot"), source, crm)
        assert service.count("/email/public/v1/events") > 10 and not service.seen("touches")
    return from_files(crm, tmp_path_factory.mktemp("csv")), Served(project, named(world.ids))


@pytest.mark.parametrize("kpi", KPIS)
def test_the_log_gives_the_values_of_the_files(
    crm: SampleCrm, both: tuple[Served, Served], kpi: str
) -> None:
    expected, found = (served.values((kpi,), crm) for served in both)
    assert len({value for value in expected.values() if value}) > 1, "equal whatever is read"
    assert not differences(expected, found)


@pytest.mark.parametrize("dimension", ["channel", "campaign_id"])
@pytest.mark.parametrize("kpi", ["campaign_volume", "campaign_response_rate", "unsubscribe_rate"])
def test_the_log_gives_the_groups_of_the_files(
    crm: SampleCrm, both: tuple[Served, Served], kpi: str, dimension: str
) -> None:
    expected, found = (served.values((kpi,), crm, (dimension,)) for served in both)
    assert len({key[2:] for key in expected}) > 1 and any(expected.values())
    assert not differences(expected, found)
