"""A token of another account: its records are never mixed with those that are loaded."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect
from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import HubSpotSimulator

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOT_GRANTED = b'{"status":"error","category":"MISSING_SCOPES","message":"not granted"}'


def test_a_token_of_another_portal_stops_the_source_until_all_is_read_anew(
    service: HubSpotSimulator, tmp_path: Path
) -> None:
    project = tmp_path / "crmetrics.yaml"
    portals = service.account.portal_id, service.account.portal_id + 1

    def load(base_url: str, token: str, *, full: bool = False) -> str:
        source = {"connector": "hubspot", "base_url": base_url, "auth": {"token": token}}
        document = {"version": 1, "project": "portals", "sources": {"crm": source}}
        project.write_text(json.dumps(document), encoding="utf-8")
        opened = Project(tmp_path, environ={}, now=service.clock)
        needs = {"opportunities": ("id", "amount")}
        report = sync(opened, (), needs=needs, full=full)
        return " ".join(str(failure.error) for failure in report.failures)

    def there() -> list[str]:
        base = duckdb.connect(str(tmp_path / ".crmetrics" / "warehouse.duckdb"), read_only=True)
        with base:
            query = "select id from crm.opportunities where not is_deleted order by id"
            return [row[0] for row in base.execute(query).fetchall()]

    with HubSpotSimulator(clock=service.clock) as other:
        other.account.portal_id = portals[1]
        service.account.create("deals", {}, at=STARTED - DAY, record_id="101")
        other.account.create("deals", {}, at=STARTED - DAY, record_id="202")
        service.clock.now = STARTED
        assert not load(service.base_url, service.token)
        service.clock.advance(HOUR.total_seconds())
        told = load(other.base_url, other.token)
        assert f"the access is to portal {portals[1]}" in told
        assert f"came from portal {portals[0]}" in told and "crmetrics sync --full" in told
        assert there() == ["101"]
        assert not load(service.base_url, service.token)
        assert not load(other.base_url, other.token, full=True)
        assert there() == ["202"]
        service.clock.advance(HOUR.total_seconds())
        assert not load(other.base_url, other.token)


@pytest.mark.parametrize(
    "dataset",
    [
        "opportunities",
        "opportunity_stage_history",
        "case_messages",
        "campaigns",
        "marketing_spend",
        "users",
        "user_activity",
        "exchange_rates",
    ],
)
def test_every_way_to_read_remembers_the_portal(
    service: HubSpotSimulator, connect: Connect, dataset: str
) -> None:
    options = {"case_messages_from": ["conversations"]}
    with CollectingRequest(dataset) as first:
        collect(first, connect(service, **options))
    portal = service.account.portal_id
    service.account.portal_id += 1
    with (
        first.following(since=STARTED) as later,
        pytest.raises(SourceError, match=f"to portal {portal + 1}, .* from portal {portal};"),
    ):
        collect(later, connect(service, **options))


@pytest.mark.parametrize("is_told", [True, False])
def test_a_full_read_of_another_portal_keeps_none_of_the_logins_that_are_kept_otherwise(
    service: HubSpotSimulator, tmp_path: Path, is_told: bool
) -> None:
    def load(at: HubSpotSimulator, *, full: bool = False) -> list[str]:
        source = {"connector": "hubspot", "base_url": at.base_url, "auth": {"token": at.token}}
        document = {"version": 1, "project": "logins", "sources": {"crm": source}}
        (tmp_path / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
        opened = Project(tmp_path, environ={}, now=service.clock)
        report = sync(opened, (), needs={"user_activity": ("id",)}, full=full)
        assert not report.failures
        base = duckdb.connect(str(tmp_path / ".crmetrics" / "warehouse.duckdb"), read_only=True)
        with base:
            query = "select id from crm.user_activity where not is_deleted order by id"
            return [row[0] for row in base.execute(query).fetchall()]

    def log_in(at: HubSpotSimulator, number: str) -> None:
        moment = (STARTED - DAY).isoformat().replace("+00:00", "Z")
        at.account.logins.append(
            {"id": number, "userId": 900, "loginAt": moment, "loginSucceeded": True}
        )

    with HubSpotSimulator(clock=service.clock) as other:
        other.account.portal_id = service.account.portal_id + 1
        log_in(service, "1")
        log_in(other, "2")
        service.clock.now = STARTED
        assert load(service) == ["login-1"]
        service.account.logins.clear()  # HubSpot forgets, the warehouse does not
        service.clock.advance(HOUR.total_seconds())
        assert load(service, full=True) == ["login-1"]
        if not is_told:
            other.faults.answer(403, NOT_GRANTED, on="/account-info/.*/details", times=99)
        assert load(other, full=True) == ["login-2"]
        other.account.logins.clear()
        service.clock.advance(HOUR.total_seconds())
        assert load(other, full=True) == ["login-2"], "from now on they are its own"


def test_where_hubspot_never_tells_the_portal_it_is_read_all_the_same(
    service: HubSpotSimulator, connect: Connect
) -> None:
    service.faults.answer(403, NOT_GRANTED, on="/account-info/", times=99)
    with CollectingRequest("opportunities", columns=("id",)) as first:
        collect(first, connect(service))
    deal = service.account.create("deals", {}, at=STARTED + HOUR).id
    with first.following(since=STARTED) as second:
        assert collect(second, connect(service))["id"].to_pylist() == [deal]


def test_where_hubspot_tells_the_portal_no_more_nothing_is_mixed_until_all_is_read_anew(
    service: HubSpotSimulator, tmp_path: Path
) -> None:
    service.account.create("deals", {"amount": "1"}, at=STARTED - DAY, record_id="101")
    service.clock.now = STARTED

    def load(*, full: bool = False) -> tuple[str, list[tuple[str, int]]]:
        source = {"connector": "hubspot", "base_url": service.base_url,
                  "auth": {"token": service.token}}  # fmt: skip
        document = {"version": 1, "project": "portals", "sources": {"crm": source}}
        (tmp_path / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
        opened = Project(tmp_path, environ={}, now=service.clock)
        needs = {"opportunities": ("id", "amount"), "users": ("id",)}
        report = sync(opened, (), needs=needs, full=full)
        service.clock.advance(HOUR.total_seconds())
        base = duckdb.connect(str(tmp_path / ".crmetrics" / "warehouse.duckdb"), read_only=True)
        with base:
            found = base.execute("select id, amount::int from crm.opportunities").fetchall()
        return " ".join(str(failure.error) for failure in report.failures), found

    assert load() == ("", [("101", 1)])
    service.account.update("deals", "101", service.clock() - HOUR / 2, amount="9999")
    service.faults.answer(403, NOT_GRANTED, on="/account-info/", times=3)
    told, there = load()
    portal = f"came from portal {service.account.portal_id};"
    assert told.count(portal) == 2 and "crmetrics sync --full" in told
    assert there == [("101", 1)]
    assert load(full=True) == ("", [("101", 9999)])
    service.account.update("deals", "101", service.clock() - HOUR / 2, amount="5")
    assert load() == ("", [("101", 5)]), "the way out works for later runs too"
    assert load() == ("", [("101", 5)])
    service.account.portal_id += 1
    assert f"to portal {service.account.portal_id}" in load()[0], "it was told again"
