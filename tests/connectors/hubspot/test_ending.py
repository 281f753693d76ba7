"""Subscriptions that are over by their status and have no end date: none of them stays active."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import rows
from crmetrics.engine import Project
from crmetrics.testing import CollectingRequest
from crmetrics_hubspot.ending import BEHIND, Endings
from simulators.hubspot import HubSpotSimulator
from simulators.messages import Answer

BEGAN = datetime(2025, 1, 3, 9, tzinfo=UTC)
COLUMNS = ("id", "start_date", "end_date")


def at(month: int, day: int, hour: int = 12) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


def subscribed(service: HubSpotSimulator, status: str = "active", **values: str) -> str:
    own = {"hs_status": status, "hs_mrr": "100", "hs_recurring_billing_start_date": "2025-01-03"}
    return service.account.create("subscriptions", {**own, **values}, at=BEGAN).id


def ends(connector: Any) -> tuple[dict[str, date | None], list[str]]:
    """The end by record, and the notices."""
    with CollectingRequest("subscriptions", columns=COLUMNS) as request:
        found = request.collect(connector.read(request)).to_pylist()
        return {row["id"]: row["end_date"] for row in found}, list(request.notices)


def test_a_subscription_without_an_end_date_ends_with_the_day_of_its_status(
    service: HubSpotSimulator, connect: Connect
) -> None:
    service.account.time_zone = "US/Eastern"
    active, paused = subscribed(service), subscribed(service, "paused")
    canceled, back, dated = subscribed(service), subscribed(service), subscribed(service)
    gone = subscribed(service)
    for name in (canceled, back, dated, gone):
        service.account.update("subscriptions", name, at(4, 5, hour=2), hs_status="canceled")
    service.account.update("subscriptions", canceled, at(5, 1), hs_status="expired")
    service.account.update("subscriptions", back, at(5, 1), hs_status="active")
    service.account.update("subscriptions", back, at(6, 1), hs_status="Canceled")
    service.account.update(
        "subscriptions", dated, at(4, 6), hs_recurring_billing_end_date="2025-04-30"
    )
    service.account.archive("subscriptions", gone, at(7, 1))
    found, notices = ends(connect(service))
    assert found == {
        active: None,
        paused: None,
        canceled: date(2025, 4, 4),  # in the account's zone
        back: date(2025, 6, 1),
        dated: date(2025, 4, 30),
        gone: date(2025, 4, 4),
    }
    (told,) = notices
    # The one in the recycle bin counts nowhere.
    assert told.startswith("subscriptions: 2 subscriptions are canceled or expired")
    assert "Map end_date under `columns:`" in told


def test_a_subscription_that_comes_twice_is_told_once(
    service: HubSpotSimulator, connect: Connect
) -> None:
    """As changed since the last read, and with the walk that a killed run had begun."""
    canceled, gone = subscribed(service, "canceled"), subscribed(service, "canceled")
    service.account.archive("subscriptions", gone, at(7, 1))
    endings = Endings(connect(service).account, frozenset(BEHIND))
    texts = {"hs_status": ["canceled"] * 2, "hs_recurring_billing_start_date": ["2025-01-03"] * 2,
             "hs_recurring_billing_end_date": [None] * 2}  # fmt: skip
    for _ in range(2):
        endings.of([canceled, gone], [False, True], lambda name: pa.array(texts[name], pa.string()))
    (told,) = endings.notices()
    assert told.startswith("subscriptions: 1 subscriptions are canceled or expired")


def test_without_a_history_it_counts_at_no_time_and_that_is_told(
    service: HubSpotSimulator, connect: Connect
) -> None:
    active, canceled = subscribed(service), subscribed(service, "canceled")

    def forget(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        for record in body["results"]:
            record["propertiesWithHistory"] = {}
        return replace(answer, body=json.dumps(body).encode())

    service.faults.spoil(forget, on="/subscriptions/batch/read", times=3)
    found, notices = ends(connect(service))
    assert found == {active: None, canceled: date(2025, 1, 3)}
    assert len(notices) == 1 and "they count at no time" in notices[0]


def test_a_mapped_end_date_comes_before_the_status(
    service: HubSpotSimulator, connect: Connect
) -> None:
    subscribed(service, "canceled")
    mapping = {"end_date": "hs_recurring_billing_start_date"}
    (row,) = rows(connect(service), "subscriptions", columns=COLUMNS, mapping=mapping)
    assert row["end_date"] == date(2025, 1, 3)
    mapping = {"end_date": "subscription_ended_on + 1"}
    (row,) = rows(connect(service), "subscriptions", columns=COLUMNS, mapping=mapping)
    assert row["end_date"] == date(2025, 1, 4)


@pytest.mark.parametrize("lost", ["hs_status", "hs_recurring_billing_end_date"])
def test_an_account_without_one_of_the_properties_is_read_all_the_same(
    service: HubSpotSimulator, connect: Connect, lost: str
) -> None:
    subscribed(service, "canceled", hs_recurring_billing_end_date="2025-02-01")
    del service.account.objects["subscriptions"].properties[lost]
    found, _ = ends(connect(service))
    expected = date(2025, 2, 1) if lost == "hs_status" else BEGAN.date()
    assert list(found.values()) == [expected]


def test_recurring_revenue_counts_no_canceled_subscription(
    unlimited: HubSpotSimulator, tmp_path: Path
) -> None:
    now = datetime(2026, 1, 5, 9, tzinfo=UTC)
    unlimited.clock.now = now
    for status in ("active", "canceled", "expired"):
        company = unlimited.account.create("companies", {}, at=BEGAN).id
        name = subscribed(unlimited)
        unlimited.account.associate("subscriptions", name, "companies", company)
        unlimited.account.update("subscriptions", name, at(12, 10), hs_status=status)
    source = {"connector": "hubspot", "base_url": unlimited.base_url,
              "auth": {"token": unlimited.token}}  # fmt: skip
    metrics = {"packs": ["revenue"], "settings": {"customer_model": "subscription"}}
    document = {"version": 1, "project": "x", "reporting": {"currency": "USD"},
                "sources": {"hs": source}, "metrics": metrics}  # fmt: skip
    (tmp_path / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
    project = Project(tmp_path, environ={}, now=lambda: now)
    report = project.sync()
    found = project.query(["mrr"], grain="month", start=date(2025, 11, 1), end=date(2026, 1, 1))
    assert [row["value"] for row in found.to_pylist()] == [300, 100]
    notices = [text for load in report.reports for text in load.notices]
    assert any("2 subscriptions are canceled or expired" in text for text in notices)
