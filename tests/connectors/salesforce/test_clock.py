"""A clock of this machine that shows a time which the org has not reached yet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.salesforce.sites import Site
from crmetrics.engine import Project
from crmetrics.engine.loading import SyncReport, sync
from simulators.salesforce import SalesforceSimulator


@pytest.fixture
def site(site: Site, salesforce: SalesforceSimulator) -> Site:
    salesforce.sends_date = True
    site.only = ("accounts", "quotas")
    return site


def read(site: Site, ahead: timedelta) -> SyncReport:
    """One sync by a clock that is so much ahead."""
    site.write()
    clock = site.salesforce.clock
    project = Project(site.directory, environ=site.environ, now=lambda: clock() + ahead)
    needs = {name: project.registry.datasets[name].column_names for name in site.only}
    return sync(project, (), needs=needs)


def test_a_read_by_a_clock_that_is_ahead_fails_and_nothing_is_lost(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    org = salesforce.org
    org.create("ForecastingQuota", QuotaAmount=1, IsAmount=True)
    made = [org.create("Account", Industry="a")]
    site.later(hours=1)
    report = read(site, timedelta(hours=2))
    assert [load.place for load in report.failures] == ["sf.accounts"]  # quotas are read whole
    assert (
        "the clock of this machine is ahead: it showed 2026-01-12 11:00:00 UTC before Salesforce "
        "answered at 2026-01-12 09:00:00 UTC."
    ) in str(report.error)
    site.synced()
    made.append(org.create("Account", Industry="b"))
    site.later(hours=1)
    assert read(site, timedelta(minutes=16)).error is not None
    made.append(org.create("Account", Industry="c"))
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == sorted(made)


def test_a_clock_that_is_ahead_by_less_than_a_read_reaches_back_loses_nothing(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    made = []
    for ahead in (15, 15, 0, 15, 0):
        site.later(hours=1)
        assert read(site, timedelta(minutes=ahead)).error is None
        made.append(salesforce.org.create("Account", Industry="a"))  # right after
    site.later(hours=1)
    site.synced()
    assert site.ids("accounts") == sorted(made)


def test_who_reaches_back_longer_may_have_such_a_clock(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.source = {"overlap": "3h"}
    site.later(hours=1)
    assert read(site, timedelta(hours=2)).error is None
    made = salesforce.org.create("Account", Industry="a")
    site.later(hours=4)
    site.synced()
    assert site.ids("accounts") == [made]


def test_a_clock_that_is_behind_loses_nothing(site: Site, salesforce: SalesforceSimulator) -> None:
    made = []
    for behind in (0, 2, 0):
        made.append(salesforce.org.create("Account", Industry="a"))
        site.later(hours=4)
        assert read(site, timedelta(hours=-behind)).error is None
    assert site.ids("accounts") == sorted(made)
