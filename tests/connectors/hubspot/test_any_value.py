"""Whatever stands in a property, a read comes to its end and the other records are unharmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.hubspot.connecting import connector_for
from crmetrics.testing import CollectingRequest
from simulators.hubspot import Campaign, HubSpotSimulator, Limits, Pipeline, Stage
from simulators.hubspot.sample.selling import SALES_QUOTA
from simulators.messages import Answer

MADE = datetime(2025, 11, 3, 9, tzinfo=UTC)
ABSURD = (
    "9" * 30, "9" * 400, "-" + "9" * 30, "1e14", "1e400", "-1e999999", "1e999999999999999999",
    "NaN", "sNaN", "-Infinity", "99999999999999.99996", "0000-01-01", "0001-01-01", "9999-12-31",
    "10000-01-01", "2025-02-30", "2025-11-03T25:00:00Z", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00", "253402300799999", "-62135596800000", "9223372036854775807",
    "9223372036854775808", "²", "٣", "1,2,3", "1_000", "0x10", "--5", "+", ".", "true", "null",
    "[]", "'", '"; drop table x', "\u0000", "a;b", " 5 ", "\u202e5",
)  # fmt: skip
TEXTS = (
    st.sampled_from(ABSURD)
    | st.text(max_size=30)
    | st.integers(-(10**40), 10**40).map(str)
    | st.floats().map(str)
    | st.decimals().map(str)
    | st.datetimes().map(lambda at: f"{at.isoformat()}Z")
    | st.dates().map(str)
)
DATASETS = {
    "orders": "orders", "opportunities": "deals", "subscriptions": "subscriptions",
    "cases": "tickets", "products": "products", "survey_responses": "feedback_submissions",
    "forecasts": "forecasts", "accounts": "companies", "contacts": "contacts",
    "opportunity_items": "line_items", "activities": "calls", "quotas": "goal_targets",
}  # fmt: skip
KEPT = frozenset({"hs_object_id", "hs_merged_object_ids", "hs_calculated_merged_vids",
                  "dealstage", "hs_pipeline_stage"})  # fmt: skip
STAMPS = frozenset({"timestamp", "effectiveAt", "conversionRate", "loginAt", "occurredAt", "amount",
                    "spendTotal", "probability", "hs_start_date", "hs_end_date",
                    "hs_budget_items_sum_amount"})  # fmt: skip


@pytest.fixture(scope="module")
def service() -> Iterator[HubSpotSimulator]:
    limits = Limits(per_ten_s=None, searches_per_s=None, per_day=None)
    with HubSpotSimulator(limits=limits) as started:
        stages = [Stage("101", "Open", {"isClosed": "false", "probability": "0.2"})]
        started.account.pipelines["deals"] = [Pipeline("10", "Sales", stages)]
        yield started


def read(service: HubSpotSimulator, dataset: str) -> list[dict[str, Any]]:
    connector = connector_for(service)
    try:
        with CollectingRequest(dataset) as request:
            return request.collect(connector.read(request)).to_pylist()
    finally:
        connector.close()


def fill(service: HubSpotSimulator, kind: str, texts: list[str]) -> tuple[str, list[str]]:
    """A record that says nothing, and one per text that says it in every property."""
    store = service.account.objects[kind]
    for name in list(store.records):
        service.account.purge(kind, name)
    names = [name for name in store.properties if name not in KEPT]
    own = {**SALES_QUOTA, "hs_pipeline_ids": ""} if kind == "goal_targets" else {}
    if kind == "forecasts":
        own = {"hs_deal_pipeline_id": ""}
    if kind == "deals":
        own = {"dealstage": "101", "pipeline": "10"}
    ids = [
        service.account.create(kind, {**dict.fromkeys(names, text), **own}, at=MADE).id
        for text in texts
    ]
    plain = service.account.create(kind, own, at=MADE).id
    for record in (*ids, plain):
        if kind == "line_items":
            deal = service.account.create("deals", {}, at=MADE).id
            service.account.associate(kind, record, "deals", deal)
    return plain, ids


@pytest.mark.parametrize("dataset", DATASETS)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXTS, min_size=10, max_size=40))
def test_no_value_of_a_property_stops_a_read(
    service: HubSpotSimulator, dataset: str, texts: list[str]
) -> None:
    kind = DATASETS[dataset]
    plain, ids = fill(service, kind, [*ABSURD, *texts])
    found = {row["id"].rpartition("-")[2]: row for row in read(service, dataset)}
    assert found.keys() == {plain, *ids}
    fill(service, kind, [])
    (alone,) = read(service, dataset)
    assert without_ids(found[plain]) == without_ids(alone)


def without_ids(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.endswith("id")}


@pytest.mark.parametrize("text", ABSURD[::3])
def test_no_value_of_what_is_no_record_stops_a_read(service: HubSpotSimulator, text: str) -> None:
    """Former values, campaigns, spend, rates, logins, the probabilities of stages."""
    account = service.account
    deal = account.create("deals", {"dealstage": "101", "amount": "5"}, at=MADE).id
    ended = {"hs_status": "canceled", "hs_mrr": "5"}
    subscription = account.create("subscriptions", ended, at=MADE).id
    account.campaigns = {"c": Campaign("c", {}, "USD", "5", [("1", "Ads", "7", MADE)])}
    account.campaigns["c"].properties |= {"hs_name": "Autumn", "hs_start_date": "2025-11-03"}
    account.rates = [("EUR", "USD", 1.1, MADE)]
    account.logins = [{"id": "1", "userId": 7, "loginAt": "2026-01-01T00:00:00Z"}]
    account.login_days = None
    service.faults.spoil(lambda answer: replaced(answer, text), on=".", times=10_000)
    try:
        for dataset, name in (("subscriptions", subscription), ("campaigns", "c"),
                              ("marketing_spend", "c-1"), ("user_activity", "login-1"),
                              ("opportunities", deal)):  # fmt: skip
            assert name in {row["id"] for row in read(service, dataset)}
        read(service, "exchange_rates")
        read(service, "opportunity_stage_history")
    finally:
        service.faults.clear()


def replaced(answer: Answer, text: str) -> Answer:
    """An answer with this text wherever HubSpot has an instant, a day or a number."""
    if not answer.body.lstrip().startswith(b"{"):
        return answer
    found = json.loads(answer.body)

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: text if key in STAMPS and not isinstance(value, list) else walk(value)
                for key, value in node.items()
            }
        return [walk(value) for value in node] if isinstance(node, list) else node

    return replace(answer, body=json.dumps(walk(found)).encode())
