"""A scope that is taken away: what it filled is neither emptied nor left standing in silence."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import collect
from crmetrics.engine import Project
from crmetrics.engine.loading import sync
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from simulators.hubspot import ALL_SCOPES, HubSpotSimulator, Pipeline, Stage
from simulators.hubspot.schema import property_of

DAY = timedelta(days=1)
CONTACTS = "crm.objects.contacts.read"
WON = Stage("won", "Won", {"isClosed": "true", "probability": "1.0"})
BY_LINE_ITEMS = {"subscriptions_from": "line_items"}


def without(service: HubSpotSimulator, *scopes: str) -> dict[str, str]:
    return {"token": service.grant("pat-na1-narrow", ALL_SCOPES - set(scopes))}


def record_of_a_contact(service: HubSpotSimulator, kind: str) -> str:
    """A record whose company is that of its contact; of a line item, of its deal's contact."""
    account = service.account
    record = account.create(kind, {}, at=STARTED - DAY).id
    contact = account.create("contacts", {}, at=STARTED - DAY).id
    company = account.create("companies", {}, at=STARTED - DAY).id
    tied, of = record, kind
    if kind == "line_items":
        account.pipelines["deals"] = [Pipeline("p", "Sales", [WON])]
        values = {"pipeline": "p", "dealstage": "won"}
        tied, of = account.create("deals", values, at=STARTED - DAY).id, "deals"
        account.associate("line_items", record, "deals", tied)
    account.associate(of, tied, "contacts", contact)
    account.associate("contacts", contact, "companies", company, [(1, "Primary")])
    return company


@pytest.mark.parametrize(
    ("dataset", "kind", "options"),
    [
        ("orders", "orders", {}),
        ("subscriptions", "subscriptions", {}),
        ("subscriptions", "line_items", BY_LINE_ITEMS),
    ],
)
def test_a_company_through_a_contact_is_not_lost_in_silence(
    service: HubSpotSimulator, connect: Connect, dataset: str, kind: str, options: dict[str, Any]
) -> None:
    company = record_of_a_contact(service, kind)
    narrow = without(service, CONTACTS)
    with CollectingRequest(dataset, columns=("id", "account_id")) as first:
        whole = collect(first, connect(service, **options))
        assert whole["account_id"].to_pylist() == [company]
    with (
        first.following(since=STARTED) as second,
        pytest.raises(SourceError, match=r"account_id could be read before .* company_of_contact"),
    ):
        collect(second, connect(service, auth=narrow, **options))
    with CollectingRequest(dataset, columns=("id", "account_id"), is_full=True) as accepted:
        found = collect(accepted, connect(service, auth=narrow, **options))
        assert found["account_id"].to_pylist() == [None]
    with accepted.following(since=STARTED) as third:
        assert collect(third, connect(service, auth=narrow, **options)).num_rows == 0
    told = {result.subject: result for result in connect(service, auth=narrow, **options).check()}
    assert told[dataset].state == "warning"
    assert "account_id without company_of_contact" in told[dataset].message
    assert "scopes" in told[dataset].fix
    told = {result.subject: result for result in connect(service, **options).check()}
    assert "company_of_contact" not in told[dataset].message


def test_a_column_of_which_one_property_goes_is_not_taken_from_the_other_in_silence(
    service: HubSpotSimulator, connect: Connect
) -> None:
    service.account.create("deals", {}, at=STARTED - DAY)
    with CollectingRequest("opportunities", columns=("id", "closed_at")) as first:
        collect(first, connect(service))
    del service.account.objects["deals"].properties["hs_v2_date_entered_current_stage"]
    with (
        first.following(since=STARTED) as second,
        pytest.raises(SourceError, match=r"closed_at could be read before .* no property"),
    ):
        collect(second, connect(service))


def test_the_date_of_a_deleted_stage_of_leads_is_no_loss(
    service: HubSpotSimulator, connect: Connect
) -> None:
    account = service.account
    stages = [Stage(name, name, {"leadState": "UNQUALIFIED"}) for name in ("5", "6")]
    account.pipelines["leads"] = [Pipeline("p", "Leads", stages)]
    five, six = "hs_v2_date_entered_5", "hs_v2_date_entered_6"
    account.objects["leads"].define(property_of(five, "datetime"), property_of(six, "datetime"))
    at = "2025-11-06T12:00:00Z"
    account.create("leads", {"hs_pipeline_stage": "5", five: at}, at=STARTED - DAY)
    with CollectingRequest("leads", columns=("id", "disqualified_at")) as first:
        (before,) = collect(first, connect(service, leads_from="leads")).to_pylist()
    account.pipelines["leads"] = [Pipeline("p", "Leads", stages[:1])]
    del account.objects["leads"].properties[six]
    with first.following(since=STARTED) as second:
        (row,) = collect(second, connect(service, leads_from="leads")).to_pylist()
    assert row["disqualified_at"] == before["disqualified_at"] is not None


def test_one_more_column_accepts_no_loss(service: HubSpotSimulator, tmp_path: Path) -> None:
    company = record_of_a_contact(service, "orders")
    service.clock.now = STARTED
    whole = {"token": service.token}
    narrow = without(service, CONTACTS)
    columns = ("id", "account_id")

    def load(auth: dict[str, str], columns: tuple[str, ...], **options: Any) -> str:
        source = {"connector": "hubspot", "base_url": service.base_url, "auth": auth}
        mapped = {"datasets": {"orders": {"columns": options}}} if options else {}
        document = {"version": 1, "project": "away", "sources": {"crm": {**source, **mapped}}}
        (tmp_path / "crmetrics.yaml").write_text(json.dumps(document), encoding="utf-8")
        report = sync(
            Project(tmp_path, environ={}, now=service.clock), (), needs={"orders": columns}
        )
        service.clock.advance(3600)
        return " ".join(str(failure.error) for failure in report.failures)

    def companies() -> list[str | None]:
        base = duckdb.connect(str(tmp_path / ".crmetrics" / "warehouse.duckdb"), read_only=True)
        with base:
            return [row[0] for row in base.execute("select account_id from crm.orders").fetchall()]

    assert load(whole, columns) == ""
    lost = "account_id could be read before and cannot any more"
    assert lost in load(narrow, (*columns, "status"))
    assert lost in load(narrow, columns, status="'placed'"), "nor does another rule"
    assert lost in load(without(service, "crm.objects.companies.read"), (*columns, "status"))
    assert companies() == [company]
    assert load(narrow, columns, account_id="'a'") == "", "the project file fills it now"
    assert companies() == ["a"]
