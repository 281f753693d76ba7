"""The org's allowance is looked at first, and a ceiling is never passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.salesforce.orgs import Connect, fill, rows_of
from connectors.salesforce.sites import Site
from crmetrics.errors import ExitCode, SourceError
from crmetrics_salesforce.quota import QuotaError
from simulators.salesforce import SalesforceSimulator


def test_the_allowance_is_the_first_thing_asked_for(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Account")
    rows_of(connect(), "accounts", ["id"])
    assert salesforce.calls[1].path.endswith("/limits")


def test_an_org_beyond_the_ceiling_is_not_read_at_all(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.daily_calls, salesforce.used = 1000, 799
    with pytest.raises(QuotaError, match=r"used 800 of its 1,000 daily calls.*allows 800"):
        rows_of(connect(), "accounts", ["id"])
    assert salesforce.used == 800  # /limits itself
    assert salesforce.count("/queryAll") == 0


def test_a_user_who_may_not_see_the_limits_is_kept_to_them_all_the_same(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Account")
    salesforce.refuse("INSUFFICIENT_ACCESS", "no", 403, on="GET .*/limits$", times=None)
    salesforce.daily_calls = 100
    assert len(rows_of(connect(max_api_usage_percent=50), "accounts", ["id"])) == 1
    lines = {result.subject: result for result in connect().check()}
    assert lines["quota"].state == "warning"
    assert "View Setup" in lines["quota"].fix
    assert lines["accounts (Account)"].state == "ok"
    salesforce.used = 49
    with pytest.raises(SourceError, match=r"max_api_usage_percent allows 50"):
        rows_of(connect(max_api_usage_percent=50), "accounts", ["id"])
    assert salesforce.used == 50


def test_a_read_stops_before_the_ceiling_of_the_day(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.rest.batch_cap = 1
    for _ in range(30):
        salesforce.org.create("Account")
    salesforce.daily_calls, salesforce.used = 100, 40
    with pytest.raises(QuotaError) as caught:
        rows_of(connect(max_api_usage_percent=50), "accounts", ["id"])
    assert caught.value.exit_code == ExitCode.SOURCE
    assert salesforce.used == 50


def test_the_calls_of_others_count_too(salesforce: SalesforceSimulator, connect: Connect) -> None:
    salesforce.rest.batch_cap = 1
    for _ in range(30):
        salesforce.org.create("Account")

    def others() -> None:
        salesforce.used += 5

    salesforce.daily_calls = 100
    salesforce.faults.before(others, on="GET .*/query/", times=None)
    with pytest.raises(QuotaError):
        rows_of(connect(max_api_usage_percent=50), "accounts", ["id"])
    assert salesforce.used <= 55


def test_a_run_stops_at_its_own_ceiling(salesforce: SalesforceSimulator, connect: Connect) -> None:
    salesforce.rest.batch_cap = 1
    for _ in range(30):
        salesforce.org.create("Account")
    with pytest.raises(QuotaError, match=r"made 10 calls, the limit of max_calls_per_run"):
        rows_of(connect(max_calls_per_run=10), "accounts", ["id"])
    assert salesforce.used == 10


@pytest.mark.parametrize(
    ("settings", "daily", "before", "ceiling"),
    [
        ({"max_calls_per_run": 10}, 100_000, 0, 10),
        ({"max_calls_per_run": 60}, 100_000, 0, 60),
        ({"max_api_usage_percent": 50}, 1000, 490, 500),
        ({"max_api_usage_percent": 100}, 1000, 930, 1000),
    ],
)
def test_requests_that_share_a_call_count_one_by_one(
    site: Site,
    salesforce: SalesforceSimulator,
    settings: dict[str, int],
    daily: int,
    before: int,
    ceiling: int,
) -> None:
    fill(salesforce.org)
    salesforce.clock.advance(3600)
    salesforce.daily_calls, salesforce.used = daily, before
    [key] = settings
    site.source.update(settings)
    site.only = (
        "accounts", "contacts", "leads", "opportunities", "opportunity_stage_history", "orders",
        "opportunity_items", "products", "order_items", "campaigns", "campaign_members", "users",
        "activities", "cases", "case_status_history", "case_messages", "survey_responses",
        "subscriptions", "user_activity", "quotas", "forecasts",
    )  # fmt: skip
    report = site.sync()
    assert isinstance(report.error, SourceError)
    assert key in str(report.error)
    assert before < salesforce.used <= ceiling


def test_the_end_of_the_allowance_is_told_and_not_waited_for(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.sends_usage = False
    salesforce.org.create("Account")
    connector = connect(max_api_usage_percent=100)
    salesforce.faults.answer(
        403,
        b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]',
        on="/queryAll",
        times=None,
    )
    with pytest.raises(SourceError, match=r"TotalRequests Limit exceeded"):
        rows_of(connector, "accounts", ["id"])
    assert connector.pauses == []


def test_no_call_follows_the_one_that_was_refused_for_the_day(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    fill(salesforce.org)
    salesforce.clock.advance(3600)
    salesforce.sends_usage = False
    site.source["parallel"] = 1
    site.only = ("accounts", "contacts", "leads", "campaigns", "products", "users")
    salesforce.faults.answer(
        403,
        b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]',
        on="/queryAll",
        times=None,
    )
    report = site.sync()
    assert salesforce.count("/queryAll") == 1
    assert "used up. What is loaded stays; run again when the 24 hours" in str(report.error)
    assert ".." not in str(report.error)


def test_the_refusal_itself_says_what_to_do(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Account")
    salesforce.faults.answer(
        403,
        b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]',
        on="/queryAll",
        times=None,
    )
    with pytest.raises(SourceError, match=r"exceeded\. The daily calls of the org are used up\."):
        rows_of(connect(), "accounts", ["id"])


def test_an_org_that_tells_no_usage_can_be_read(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.sends_usage = False
    salesforce.faults.answer(200, b"{}", on="/limits", times=None)
    made = salesforce.org.create("Account")
    assert [row["id"] for row in rows_of(connect(), "accounts", ["id"])] == [made]


def test_a_run_that_meets_the_ceiling_ends_with_3_and_keeps_what_it_has(
    salesforce: SalesforceSimulator, tmp_path: Path
) -> None:
    from crmetrics.cli import main

    app = salesforce.login.app
    salesforce.org.create("Account")
    (tmp_path / "crmetrics.yaml").write_text(
        "version: 1\nproject: p\nsources:\n  crm:\n    connector: salesforce\n"
        f"    base_url: {salesforce.base_url}\n    max_calls_per_run: 4\n"
        f"    auth: {{flow: client_credentials, client_id: {app.client_id}, "
        f"client_secret: {app.client_secret}}}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["-C", str(tmp_path), "sync"])
    assert ended.value.code == ExitCode.SOURCE
