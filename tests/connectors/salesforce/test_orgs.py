"""A login of another org: its records are never mixed with those that are loaded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.salesforce.orgs import Connect, connector_to
from connectors.salesforce.sites import Site
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.salesforce import SalesforceSimulator, make_id

FIRST, OTHER = "00D000000000001", "00D000000000002"
HOUR = timedelta(hours=1)


def test_a_login_of_another_org_stops_the_source_until_all_is_read_anew(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    own = salesforce.org.create("Account", Industry="own")
    with SalesforceSimulator(clock=salesforce.clock) as other:
        other.org.id = make_id("00D", 2)
        foreign = other.org.create("Account", Id=make_id("001", 77), Industry="foreign")
        salesforce.clock.advance(3600)
        site.synced()
        site.source = {"base_url": other.base_url}  # and the domain stays as it was
        site.later(hours=1)
        told = str(site.sync().error)
        assert f"the access is to org {OTHER}, and what is loaded came from org {FIRST}" in told
        assert "crmetrics sync --full" in told
        assert site.ids("accounts") == [own]
        site.source = {}
        site.synced()
        site.source = {"base_url": other.base_url}
        site.synced(full=True)
        assert site.ids("accounts") == [foreign]
        site.later(hours=1)
        site.synced()
        assert site.ids("accounts") == [foreign]


def test_another_domain_of_another_org_starts_anew_by_itself(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    salesforce.org.create("Account")
    with SalesforceSimulator(clock=salesforce.clock) as other:
        other.org.id = make_id("00D", 2)
        foreign = other.org.create("Account", Id=make_id("001", 77))
        salesforce.clock.advance(3600)
        site.synced()
        site.source = {"domain": "other.my.salesforce.com", "base_url": other.base_url}
        site.later(hours=1)
        site.synced()
        assert site.ids("accounts") == [foreign]


@pytest.mark.parametrize(
    "dataset", ["accounts", "opportunity_stage_history", "forecasts", "quotas"]
)
@pytest.mark.parametrize("flow", ["client_credentials", "access_token"])
def test_every_way_to_read_and_to_log_in_remembers_the_org(
    salesforce: SalesforceSimulator, dataset: str, flow: str
) -> None:
    salesforce.org.remove_object("ForecastingSubmissionItem")

    def connector() -> Any:
        token = {"auth": {"flow": flow, "access_token": salesforce.issue()}}
        return connector_to(salesforce, **(token if flow == "access_token" else {}))

    with CollectingRequest(dataset) as first:
        first.collect(connector().read(first))
    salesforce.org.id = make_id("00D", 2)
    with (
        first.following(since=STARTED) as later,
        pytest.raises(SourceError, match=f"to org {OTHER}, .* from org {FIRST};"),
    ):
        later.collect(connector().read(later))


def test_where_nothing_tells_the_org_it_is_read_and_the_last_one_remembered(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    with CollectingRequest("accounts", columns=("id",)) as first:
        first.collect(connect().read(first))
    made = salesforce.org.create("Account", stamp=STARTED + HOUR)
    bare = salesforce.tokens.issue(token="a-token-of-a-gateway", scopes=frozenset({"api"}))
    unknown = connect(auth={"flow": "access_token", "access_token": bare})
    with first.following(since=STARTED) as second:
        assert second.collect(unknown.read(second))["id"].to_pylist() == [made]
    salesforce.org.id = make_id("00D", 2)
    with second.following(since=STARTED) as third, pytest.raises(SourceError, match="to org"):
        third.collect(connect().read(third))
