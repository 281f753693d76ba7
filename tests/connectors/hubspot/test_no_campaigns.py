"""Accounts without campaigns (Marketing Hub below Professional, or the scope): e-mails are read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import rows
from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from crmetrics.errors import SourceError
from crmetrics.testing.request import STARTED
from simulators.hubspot import ALL_SCOPES, Campaign, HubSpotSimulator
from simulators.hubspot.records import iso

DAY = timedelta(days=1)
SCOPE = "marketing.campaigns.read"
BUDGET = "total_marketing_spend.budget_share"
NEEDS = {
    "campaigns": ("name", "channel", "start_date", "end_date", "budgeted_cost", "currency"),
    "campaign_members": ("campaign_id", "contact_id", "lead_id", "sent_at"),
}
SPEND = ("spend_date", "campaign_id", "channel", "amount")


@pytest.fixture
def account(unlimited: HubSpotSimulator) -> Iterator[HubSpotSimulator]:
    """A campaign, an e-mail of it, one of none, and a send of each; the whole grant is `narrow`."""
    unlimited.clock.now = STARTED
    one = unlimited.account
    one.campaigns["0c1d"] = Campaign("0c1d", {"hs_name": "Spring"})
    for name, more in (("5001", {"campaign": "0c1d"}), ("5002", {"name": "Autumn issue"})):
        one.emails.append({"id": f"7{name}", "type": "BATCH_EMAIL", "allEmailCampaignIds": [name],
                           "createdAt": iso(STARTED - 90 * DAY), **more})  # fmt: skip
        one.log.add("SENT", "reader@example.com", name, STARTED - 40 * DAY)
    unlimited.grant("narrow", ALL_SCOPES - {SCOPE})
    yield unlimited


def project_over(service: HubSpotSimulator, folder: Path, token: str, **options: Any) -> Project:
    """HubSpot, and what was spent from a file."""
    hubspot = {"connector": "hubspot", "base_url": service.base_url, "auth": {"token": token},
               **options}  # fmt: skip
    spend = "id,spend_date,campaign_id,channel,amount\n1,2025-11-03,,paid,500\n"
    (folder / "marketing_spend.csv").write_text(spend, encoding="utf-8")
    finance = {"connector": "csv", "path": "."}
    document = {"version": 1, "project": "p", "sources": {"hs": hubspot, "finance": finance},
                "metrics": {"packs": ["marketing"]}}  # fmt: skip
    (folder / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    return Project(folder, environ={}, now=service.clock)


def held(project: Project, columns: str = "id") -> list[Any]:
    path = str(project.engine_settings.path)
    with duckdb.connect(path, read_only=True) as base:
        return sorted(base.execute(f"select {columns} from crm.campaigns").fetchall())


@pytest.mark.parametrize("version", ["2026-09", "v3"])
@pytest.mark.parametrize("status", [403, 404])
def test_without_campaigns_emails_are_read_and_the_columns_of_campaigns_are_missing(
    account: HubSpotSimulator, tmp_path: Path, version: str, status: int
) -> None:
    account.serves_old = version == "v3"
    account.versions = () if version == "v3" else (version,)
    path = "/marketing/v3/campaigns" if version == "v3" else f"/marketing/campaigns/{version}"
    token = "narrow" if status == 403 else account.token
    if status == 404:
        account.faults.answer(404, b'{"message":"no such API"}', on=path, times=99)
    project = project_over(account, tmp_path, token, api_version=version)
    report = sync(project, (), needs={**NEEDS, "marketing_spend": SPEND})
    loaded = {(each.source, each.dataset): each for each in report.reports}
    campaigns = loaded["hs", "campaigns"]
    assert held(project, "id, name, channel") == [("email-5002", "Autumn issue", "email")]
    assert not {"budgeted_cost", "currency", "end_date"} & set(campaigns.columns)
    (told,) = campaigns.notices
    assert told.startswith("campaigns: only marketing e-mails of no campaign are among them")
    assert path in told and (SCOPE in told) == (status == 403)
    assert loaded["hs", "campaign_members"].rows == 2
    assert {each for each in report.reports if each.error} == {loaded["hs", "marketing_spend"]}
    assert loaded["hs", "marketing_spend"].status == ("absent" if status == 403 else "failed")
    # What lacks columns of campaigns has no number; what does not is counted.
    found = project.query(["campaign_volume", "total_marketing_spend", BUDGET], period="2025-11")
    values = [(row["kpi"], row["value"], row["status"]) for row in found.to_pylist()]
    assert values == [("campaign_volume", 2, "ok"), ("total_marketing_spend", 500, "ok"),
                      ("total_marketing_spend", None, "missing_column")]  # fmt: skip


def test_check_names_what_the_missing_scope_costs(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    found = {each.subject: each for each in project_over(account, tmp_path, "narrow").check()}
    campaigns = found["source hs: campaigns"]
    assert campaigns.state == "warning" and SCOPE in campaigns.fix
    assert campaigns.message.endswith(f"Out of reach: {BUDGET}.")


def test_campaigns_that_were_read_before_do_not_go_with_the_scope(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    project = project_over(account, tmp_path, account.token)
    assert sync(project, (), needs=NEEDS).error is None
    assert held(project) == [("0c1d",), ("email-5002",)]
    narrow = project_over(account, tmp_path, "narrow")
    account.clock.now += DAY
    (failed,) = sync(narrow, (), needs=NEEDS).failures
    assert failed.dataset == "campaigns" and SCOPE in str(failed.error)
    assert "crmetrics sync --full" in str(failed.error)
    assert held(project) == [("0c1d",), ("email-5002",)]
    assert not sync(narrow, (), needs=NEEDS, full=True).failures
    assert held(project) == [("email-5002",)]
    whole = project_over(account, tmp_path, account.token)
    account.clock.now += DAY
    assert sync(whole, (), needs=NEEDS).error is None
    assert held(project, "id, name") == [("0c1d", "Spring"), ("email-5002", "Autumn issue")]


@pytest.mark.parametrize("why", ["ended", "no right to e-mails"])
def test_emails_that_the_log_alone_knew_stay_campaigns_when_it_ends(
    account: HubSpotSimulator, tmp_path: Path, why: str
) -> None:
    log = account.account.log
    log.types["9"] = "BATCH_EMAIL"
    log.add("SENT", "reader@example.com", "9", STARTED - 40 * DAY)
    project = project_over(account, tmp_path, account.token)
    assert sync(project, (), needs=NEEDS).error is None
    before = held(project, "id, name, channel")
    assert ("email-9", None, "email") in before and len(before) == 3
    account.clock.now += DAY
    log.is_ended = why == "ended"
    account.grant("narrow", ALL_SCOPES - ({"content"} if why != "ended" else set()))
    project = project_over(account, tmp_path, "narrow")
    (failed,) = sync(project, (), needs=NEEDS).failures
    assert failed.dataset == "campaign_members"
    assert held(project, "id, name, channel") == before
    found = project.query(["campaign_volume"], period="2025-11", by=["channel"]).to_pylist()
    assert sorted(row["value"] for row in found) == [1, 2], "two by e-mail"
    account.clock.now += DAY
    (failed,) = sync(project, (), needs=NEEDS, full=True).failures
    assert failed.dataset == "campaign_members"
    assert held(project, "id, name, channel") == before, "their sends are still there"
    account.account.emails[1]["campaign"] = "0c1d"
    sync(project, (), needs=NEEDS)
    assert (("email-5002",) in held(project)) == (why != "ended"), "it is in a campaign now"
    off = project_over(account, tmp_path, "narrow", email_events=False)
    assert not sync(off, (), needs=NEEDS).failures
    assert held(off) == [("0c1d",)]


@pytest.mark.parametrize("why", ["no e-mails", "no right to e-mails", "turned off", "e-mails only"])
def test_the_loss_of_campaigns_is_accepted_where_there_are_no_emails_either(
    account: HubSpotSimulator, tmp_path: Path, why: str
) -> None:
    needs = {"campaigns": NEEDS["campaigns"]}
    options = {"email_events": False} if why == "turned off" else {}
    if why == "no e-mails":
        account.account.emails = account.account.emails[:1]
        account.account.log.campaigns.clear()
    token = "narrow" if why == "e-mails only" else account.token
    assert sync(project_over(account, tmp_path, token, **options), (), needs=needs).error is None
    if why in ("no right to e-mails", "e-mails only"):
        account.grant("narrow", ALL_SCOPES - {SCOPE, "content"})
    narrow = project_over(account, tmp_path, "narrow", **options)
    before = held(narrow)
    account.clock.now += DAY
    (failed,) = sync(narrow, (), needs=needs).failures
    assert SCOPE in str(failed.error) and "with `crmetrics sync --full`" in str(failed.error)
    assert held(narrow) == before != []
    account.clock.now += DAY
    accepted = sync(narrow, (), needs=needs, full=True)
    assert not accepted.failures and held(narrow) == []
    assert f"{len(before)} records of earlier reads have left" in str(accepted.reports)
    account.clock.now += DAY
    (absent,) = (each for each in sync(narrow, (), needs=needs).reports if each.error)
    assert absent.status == "absent" and SCOPE in str(absent.error)
    assert "could be read before" not in str(absent.error), "as in a new project"
    account.clock.now += DAY
    reports = sync(narrow, (), needs=needs, full=True).reports
    (absent,) = (each for each in reports if each.error)
    assert absent.status == "absent" and SCOPE in str(absent.error)
    account.clock.now += DAY
    whole = project_over(account, tmp_path, account.token, **options)
    assert sync(whole, (), needs=needs).error is None and ("0c1d",) in held(whole)


@pytest.mark.parametrize("is_told", [True, False])
def test_emails_of_another_portal_do_not_stay_when_all_is_read_anew(
    account: HubSpotSimulator, tmp_path: Path, is_told: bool
) -> None:
    needs = {"campaigns": NEEDS["campaigns"]}
    assert sync(project_over(account, tmp_path, account.token), (), needs=needs).error is None
    account.account.portal_id += 1
    account.account.campaigns.clear()
    account.account.emails[1]["allEmailCampaignIds"] = ["5003"]
    account.account.log.is_ended = True
    if not is_told:
        account.faults.answer(404, b"{}", on="/account-info/.*/details", times=99)
    account.clock.now += DAY
    project = project_over(account, tmp_path, account.token)
    assert sync(project, (), needs=needs, full=True).error is None
    assert held(project) == [("email-5003",)]


def test_other_columns_take_no_campaigns_along_that_are_out_of_reach(
    account: HubSpotSimulator, tmp_path: Path
) -> None:
    project = project_over(account, tmp_path, account.token)
    assert sync(project, (), needs=NEEDS).error is None
    account.clock.now += DAY
    mapped = {"campaigns": {"columns": {"channel": "'x'", "name": "upper(hs_name)"}}}
    narrow = project_over(account, tmp_path, "narrow", datasets=mapped)
    (failed,) = sync(narrow, (), needs=NEEDS).failures
    assert failed.dataset == "campaigns" and SCOPE in str(failed.error)
    assert held(project) == [("0c1d",), ("email-5002",)]
    whole = project_over(account, tmp_path, account.token, datasets=mapped)
    account.clock.now += DAY
    assert sync(whole, (), needs=NEEDS).error is None
    assert held(project, "id, name") == [("0c1d", "SPRING"), ("email-5002", None)]


@pytest.mark.parametrize("why", ["ended", "no right to e-mails"])
def test_other_columns_take_no_emails_along_that_are_out_of_reach(
    account: HubSpotSimulator, tmp_path: Path, why: str
) -> None:
    one = account.account
    one.log.types["9"] = "BATCH_EMAIL"
    one.log.add("SENT", "reader@example.com", "9", STARTED - 40 * DAY)
    project = project_over(account, tmp_path, account.token)
    assert sync(project, (), needs=NEEDS).error is None
    columns = "id, name, channel, start_date, updated_at, budgeted_cost"
    before = held(project, columns)
    account.clock.now += DAY
    one.log.is_ended = why == "ended"
    account.grant("narrow", ALL_SCOPES - ({"content"} if why != "ended" else set()))
    mapped = {"campaigns": {"columns": {"channel": "'x'", "budgeted_cost": "5"}}}
    narrow = project_over(account, tmp_path, "narrow", datasets=mapped)
    (failed,) = sync(narrow, (), needs=NEEDS).failures
    assert failed.dataset == "campaign_members"
    by_rules = [(name, label, "x" if name == "0c1d" else "email", day, at, 5)
                for name, label, _, day, at, _ in before]  # fmt: skip
    assert len(before) == 3 and held(project, columns) == by_rules
    sync(narrow, (), needs=NEEDS)
    assert held(project, columns) == by_rules, "nor with the next run"


@pytest.mark.parametrize("why", ["no e-mails", "no right to e-mails", "turned off"])
def test_with_nothing_to_read_campaigns_fail_and_are_not_empty(
    account: HubSpotSimulator, connect: Connect, why: str
) -> None:
    options: dict[str, Any] = {"auth": {"token": "narrow"}}
    if why == "no e-mails":
        account.account.emails = account.account.emails[:1]
        account.account.log.campaigns.clear()
    elif why == "turned off":
        options["email_events"] = False
    else:
        account.grant("narrow", ALL_SCOPES - {SCOPE, "content"})
    connector = connect(account, **options)
    with pytest.raises(SourceError, match=SCOPE):
        rows(connector, "campaigns")
    result = {each.subject: each for each in connector.check()}["campaigns"]
    assert result.lacks == {"campaigns": ()} and SCOPE in result.fix


def test_columns_mapped_to_properties_of_campaigns_are_missing_with_them(
    account: HubSpotSimulator, connect: Connect
) -> None:
    mapping = {"start_date": "kick_off", "channel": "kind_of_work"}
    datasets = {"campaigns": {"columns": mapping}}
    connector = connect(account, auth={"token": "narrow"}, datasets=datasets)
    result = {each.subject: each for each in connector.check()}["campaigns"]
    lost = ("start_date", "end_date", "budgeted_cost", "currency")
    assert result.lacks == {"campaigns": lost}
    (row,) = rows(connector, "campaigns", mapping=mapping)
    assert row["channel"] == "email" and row["start_date"] is None


def test_check_tells_that_emails_are_not_among_campaigns(
    account: HubSpotSimulator, connect: Connect
) -> None:
    account.grant("narrow", ALL_SCOPES - {"content"})
    connector = connect(account, auth={"token": "narrow"})
    result = {each.subject: each for each in connector.check()}["campaigns"]
    assert result.state == "warning" and not result.lacks
    assert result.message.startswith("marketing e-mails are not among them")
    assert "content" in result.fix
