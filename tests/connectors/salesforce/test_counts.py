"""Queries by REST: every row that the query counts came, every page once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.salesforce.orgs import Connect, rows_of
from connectors.salesforce.sites import Site, load_of
from crmetrics.errors import SourceError
from simulators.messages import Answer
from simulators.salesforce import SalesforceSimulator

COUNT = 10
FIRST, LATER = "GET .*/queryAll", "GET .*/query/"
Change = Callable[[dict[str, Any]], dict[str, Any]]


def accounts(salesforce: SalesforceSimulator, page: int = 4) -> list[str]:
    salesforce.rest.batch_cap = page
    return [salesforce.org.create("Account", Industry=f"{n}") for n in range(COUNT)]


def changed(change: Change) -> Callable[[Answer], Answer]:
    """An answer that says something else than the service did."""
    return lambda answer: Answer.json(change(json.loads(answer.body)))


def shorter(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "records": body["records"][1:]}


def without_last(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "records": body["records"][:-1]}


def ids(connector: Any) -> list[str]:
    return [row["id"] for row in rows_of(connector, "accounts", ["id", "industry"])]


# --- counts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "skip"), [(FIRST, 0), (LATER, 0), (LATER, 1)])
def test_a_record_that_is_missing_from_a_page_is_an_error(
    salesforce: SalesforceSimulator, connect: Connect, place: str, skip: int
) -> None:
    accounts(salesforce)
    salesforce.faults.spoil(changed(shorter), on=place, skip=skip)
    told = r"Account: the query says it found 10 rows, its pages hold 9, .* once more there are 10"
    with pytest.raises(SourceError, match=told):
        ids(connect(transport="rest"))


@pytest.mark.parametrize("said", [0, 9, 11, 1_000_000])
def test_a_count_of_a_single_page_that_lies_is_an_error(
    salesforce: SalesforceSimulator, connect: Connect, said: int
) -> None:
    accounts(salesforce, page=2000)
    salesforce.faults.spoil(changed(lambda body: {**body, "totalSize": said}), on=FIRST)
    with pytest.raises(SourceError, match=rf"says it found {said:,} rows, its pages hold 10"):
        ids(connect(transport="rest"))


@pytest.mark.parametrize("said", [3, 9, 11])
def test_a_count_of_several_pages_that_lies_whenever_it_is_asked_for_is_an_error(
    salesforce: SalesforceSimulator, connect: Connect, said: int
) -> None:
    accounts(salesforce)
    lie = changed(lambda body: {**body, "totalSize": said})
    salesforce.faults.spoil(lie, on="GET .*/query", times=None)
    with pytest.raises(SourceError, match=rf"says it found {said} rows, its pages hold 10"):
        ids(connect(transport="rest"))


def test_a_page_that_comes_in_the_place_of_another_is_an_error(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    accounts(salesforce)
    twice = changed(lambda body: {**body, "records": [*body["records"], *body["records"]]})
    salesforce.faults.spoil(twice, on=LATER)
    with pytest.raises(SourceError, match=r"found 10 rows, its pages hold 14"):
        ids(connect(transport="rest"))


@pytest.mark.parametrize("fault", ["purged", "recycled", "made", "changed"])
def test_records_that_change_between_pages_are_no_error(
    salesforce: SalesforceSimulator, connect: Connect, fault: str
) -> None:
    made = accounts(salesforce)
    org = salesforce.org
    deeds: dict[str, Callable[[], None]] = {
        "purged": lambda: org.purge(made[8]),
        "recycled": lambda: org.delete(made[8]),
        "made": lambda: org.create("Account") and None,
        "changed": lambda: org.update(made[8], Industry="x"),
    }
    salesforce.faults.before(deeds[fault], on=LATER)
    found = ids(connect(transport="rest"))
    assert found == ([*made[:8], made[9]] if fault == "purged" else made)


@pytest.mark.parametrize("purged", [1, 2])
def test_a_record_that_is_made_while_another_is_purged_is_read_too(
    salesforce: SalesforceSimulator, connect: Connect, purged: int
) -> None:
    made, born = accounts(salesforce), list[str]()

    def deed() -> None:
        for name in made[8 : 8 + purged]:
            salesforce.org.purge(name)
            born.append(salesforce.org.create("Account"))

    salesforce.faults.before(deed, on=LATER)
    assert ids(connect(transport="rest")) == [*made[:8], *made[8 + purged :], *born]


def test_a_companion_that_is_made_while_another_is_purged_fails_nothing(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("leads",)
    org = salesforce.org
    leads = [org.create("Lead", Status="New") for _ in range(3)]
    first, second = (org.create("Campaign") for _ in range(2))
    members = [org.create("CampaignMember", LeadId=lead, CampaignId=first) for lead in leads]
    salesforce.clock.advance(3600)

    def deed() -> None:
        org.purge(members[2])
        org.create("CampaignMember", LeadId=leads[2], CampaignId=second)

    salesforce.rest.batch_cap = 2
    salesforce.faults.before(
        lambda: salesforce.faults.before(deed, on=LATER), on="FROM CampaignMember "
    )
    site.synced()
    campaigns = [(leads[0], first), (leads[1], first), (leads[2], second)]
    assert site.rows("leads", "id", "campaign_id") == campaigns


def test_the_last_record_that_is_missing_from_the_last_page_is_asked_for(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce)
    salesforce.faults.spoil(changed(without_last), on=LATER, skip=1)
    assert ids(connect(transport="rest")) == made


def test_rows_that_are_counted_and_never_come_end_the_walk(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce)
    salesforce.faults.before(lambda: salesforce.org.purge(made[8]), on=LATER)
    more = changed(lambda body: {**body, "totalSize": 12})
    salesforce.faults.spoil(more, on=r"COUNT\(\) FROM Account(?!.*Id <=)", times=None)
    one = changed(lambda body: {**body, "totalSize": 1})
    salesforce.faults.spoil(one, on="FROM Account WHERE Id >", times=None)
    told = r"found 10 rows, its pages hold 9, and counted once more there are 12"
    with pytest.raises(SourceError, match=told):
        ids(connect(transport="rest"))


def test_the_count_of_a_walk_whose_session_ended_goes_on(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    accounts(salesforce)
    salesforce.faults.before(salesforce.tokens.revoke_all, on=LATER)
    salesforce.faults.spoil(changed(shorter), on=LATER, skip=1)
    with pytest.raises(SourceError, match=r"found 10 rows, its pages hold 9"):
        ids(connect(transport="rest"))


def test_a_short_read_fails_its_dataset_and_leaves_what_was_there(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    made = accounts(salesforce)
    salesforce.clock.advance(3600)
    site.source = {"transport": "rest"}
    site.synced()
    for name in made:
        salesforce.org.update(name, Industry="new")
    site.later(hours=2)
    salesforce.faults.spoil(changed(shorter), on="FROM Account ")
    load = load_of(site.sync(), "accounts")
    assert load.failed
    assert "found 10 rows, its pages hold 9" in str(load.error)
    assert site.rows("accounts", "industry") == [(f"{n}",) for n in range(COUNT)]
    site.synced()
    assert site.rows("accounts", "industry") == [("new",)] * COUNT


def test_a_companion_that_comes_short_fails_its_dataset(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    site.only = ("leads",)
    lead = salesforce.org.create("Lead", Status="New")
    for _ in range(3):
        campaign = salesforce.org.create("Campaign")
        salesforce.org.create("CampaignMember", LeadId=lead, CampaignId=campaign)
    salesforce.clock.advance(3600)
    salesforce.faults.spoil(changed(shorter), on="FROM CampaignMember ")
    load = load_of(site.sync(), "leads")
    assert "CampaignMember: the query says it found 3 rows, its pages hold 2" in str(load.error)


# --- pages that lead back -----------------------------------------------------------------------


@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_a_next_page_that_was_read_before_ends_the_walk(
    salesforce: SalesforceSimulator, connect: Connect, back_to: int
) -> None:
    accounts(salesforce, page=2)
    links: list[str] = []

    def circle(body: dict[str, Any]) -> dict[str, Any]:
        links.append(body.get("nextRecordsUrl", ""))
        if len(links) < 4:
            return body
        return {**body, "done": False, "nextRecordsUrl": links[back_to]}

    salesforce.faults.spoil(changed(circle), on="GET .*/query", times=None)
    with pytest.raises(SourceError, match=r"query of Account: page 4 .* would never end"):
        ids(connect(transport="rest"))
    assert len(links) == 4


@pytest.mark.parametrize("back_to", ["MQ==", None])
def test_a_locator_of_a_bulk_result_that_comes_again_ends_the_read(
    salesforce: SalesforceSimulator, connect: Connect, back_to: str | None
) -> None:
    accounts(salesforce)
    seen: list[str] = []

    def circle(answer: Answer) -> Answer:
        seen.append(answer.headers["Sforce-Locator"])
        return replace(
            answer, headers={**answer.headers, "Sforce-Locator": back_to or seen[0]}
        ) if len(seen) > 2 else answer  # fmt: skip

    salesforce.faults.spoil(circle, on="/results", times=None)
    with pytest.raises(SourceError, match="would never end"):
        ids(connect(transport="bulk", page_rows=2))
    assert len(seen) <= 4
