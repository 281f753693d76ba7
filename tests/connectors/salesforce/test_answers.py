"""Answers of another shape than that of the API: an error that names the endpoint, and no crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from connectors.salesforce.orgs import Connect, rows_of
from crmetrics.errors import SourceError
from crmetrics.testing import CollectingRequest
from simulators.messages import Answer
from simulators.salesforce import SalesforceSimulator

JSON = {"Content-Type": "application/json"}
BODIES = {
    "an empty object": b"{}",
    "a list": b"[]",
    "null": b"null",
    "a number": b"17",
    "nothing": b"",
    "an error with 200": b'[{"errorCode":"UNKNOWN_EXCEPTION","message":"x"}]',
    "wrong members": b'{"access_token":{},"DailyApiRequests":{"Max":"many"},"results":[{}],'
    b'"name":7,"fields":{"a":1},"totalSize":"all","id":null,"state":3,"deletedRecords":[{}],'
    b'"records":{}}',
}
# The call -> what the error names, what is read, options.
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "POST .*/oauth2/token": ("/services/oauth2/token", "accounts", {}),
    "GET .*/limits$": ("/limits", "accounts", {}),
    "GET .*/describe$": ("describe of Account", "accounts", {}),
    "POST .*/composite/batch": ("composite/batch", "activities", {}),
    "GET .*/queryAll": ("the query of Account", "accounts", {}),
    "POST .*/jobs/query": ("the bulk job of Account", "accounts", {"transport": "bulk"}),
    "GET .*/jobs/query/[^/]+$": ("the state of a bulk job", "accounts", {"transport": "bulk"}),
    "GET .*/results": ("Account", "accounts", {"transport": "bulk"}),
    "GET .*/deleted/": ("the log of deletions of Account", "accounts", {}),
}
# An org may not tell its limits.
WRONG = [(c, b) for c in CALLS for b in BODIES if (c, b) != ("GET .*/limits$", "an empty object")]


@pytest.mark.parametrize(("call", "body"), WRONG)
def test_an_answer_of_another_shape_is_an_error_that_names_the_endpoint(
    salesforce: SalesforceSimulator, connect: Connect, call: str, body: str
) -> None:
    named, dataset, options = CALLS[call]
    salesforce.org.create("Account")
    salesforce.faults.answer(200, BODIES[body], JSON, on=call, times=None)
    since = salesforce.clock() - timedelta(days=1)
    with CollectingRequest(dataset, since=since) as request:
        request.intake.started = salesforce.clock() + timedelta(hours=1)
        with pytest.raises(SourceError) as failure:
            request.collect(connect(**options).read(request))
    assert named in str(failure.value)
    assert len(str(failure.value)) < 700


def test_a_list_of_versions_of_another_shape_is_an_error_too(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.faults.answer(200, b'{"version":"67.0"}', JSON, on="GET /services/data/$")
    with pytest.raises(SourceError, match=r"list of versions \(/services/data/\).*valid array"):
        rows_of(connect(api_version="99.0"), "accounts")


def test_check_survives_answers_of_another_shape(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.faults.answer(200, b"{}", JSON, on="COUNT", times=None)
    found = [result for result in connect().check() if result.state == "error"]
    assert found
    assert all("totalSize: field required" in result.message for result in found)


def test_no_answer_of_the_token_endpoint_is_shown(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    body = json.dumps({"accessToken": "00Dsecret!AQ", "instance_url": 7}).encode()
    salesforce.faults.answer(200, body, JSON, on="oauth2/token", times=None)
    with pytest.raises(SourceError, match=r"access_token: field required") as failure:
        rows_of(connect(), "accounts")
    assert "00Dsecret" not in str(failure.value)


def test_a_batch_with_too_few_results_is_an_error(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    def shorter(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        return Answer.json({**body, "results": body["results"][1:]})

    salesforce.faults.spoil(shorter, on="composite/batch", times=None)
    with pytest.raises(SourceError, match=r"composite/batch.*results for \d+ objects"):
        rows_of(connect(), "activities")


# --- pages of HTML under another name ----------------------------------------------------------

LABELS = ["text/plain", "application/json", "text/csv", ""]
PLACES = [
    "POST .*/oauth2/token", "GET .*/limits$", "describe$", "/queryAll", "POST .*/jobs/query",
    "GET .*/jobs/query/[^/]+$", "/results",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("label", LABELS)
def test_a_page_of_html_under_another_name_is_waited_for(
    salesforce: SalesforceSimulator, connect: Connect, place: str, label: str
) -> None:
    name = salesforce.org.create("Account", Industry="Retail")
    page = b"\xef\xbb\xbf\r\n <!DOCTYPE html><html><body>Down for maintenance</body></html>"
    headers = {"Content-Type": label} if label else {}
    salesforce.faults.answer(200, page, headers, on=place, times=2)
    way = "bulk" if "job" in place or "results" in place else "rest"
    rows = rows_of(connect(transport=way), "accounts", ["industry"])
    assert [(row["id"], row["industry"]) for row in rows] == [(name, "Retail")]


# --- what is no answer of the API at all ---------------------------------------------------------

Garble = Callable[[Answer], Answer]
GARBLED: dict[str, Garble] = {
    "plain words": lambda answer: Answer.text("upstream connect error, reset reason: overflow"),
    "nothing": lambda answer: Answer(200, b"", JSON),
    "half of it": lambda answer: Answer(200, answer.body[: len(answer.body) // 2], answer.headers),
    "all but its end": lambda answer: Answer(200, answer.body.rstrip()[:-2], answer.headers),
}


SPOILED = [
    (place, name)
    for place in (*PLACES, "GET .*/query/", "GET .*/deleted/")
    for name in GARBLED
    # Rows of a result are counted: one that lacks some is an error.
    if place != "/results" or name in ("plain words", "nothing")
]


@pytest.mark.parametrize(("place", "name"), SPOILED)
def test_what_a_gateway_says_instead_is_waited_for(
    salesforce: SalesforceSimulator, connect: Connect, place: str, name: str
) -> None:
    made = [salesforce.org.create("Account", Industry="a } and {{ b") for _ in range(5)]
    salesforce.rest.batch_cap = 2
    salesforce.faults.spoil(GARBLED[name], on=place, times=3)
    way = "bulk" if "job" in place or "results" in place else "rest"
    connector = connect(transport=way)
    since = salesforce.clock() - timedelta(days=1)
    with CollectingRequest("accounts", columns=["industry"], since=since) as request:
        request.intake.started = salesforce.clock() + timedelta(hours=1)
        rows = request.collect(connector.read(request)).to_pylist()
    assert sorted(row["id"] for row in rows) == made
    assert salesforce.count(place) >= 4
    assert len(connector.pauses) >= 3


@pytest.mark.parametrize("name", ["plain words", "nothing", "half of it"])
@pytest.mark.parametrize("place", ["/queryAll", "GET .*/query/", "describe$"])
def test_what_a_gateway_goes_on_saying_is_an_error_after_some_tries(
    salesforce: SalesforceSimulator, connect: Connect, place: str, name: str
) -> None:
    for _ in range(5):
        salesforce.org.create("Account", Industry="Retail")
    salesforce.rest.batch_cap = 2
    salesforce.faults.spoil(GARBLED[name], on=place, times=None)
    with pytest.raises(SourceError, match=r"Account.*no whole JSON, 6 times in a row") as failure:
        rows_of(connect(transport="rest"), "accounts", ["industry"])
    assert name != "plain words" or "upstream connect error" in str(failure.value)
    assert salesforce.count(place) == 6


def test_texts_with_brackets_are_no_torn_page(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Account", Industry='}}]{[[ " {')
    connector = connect(transport="rest")
    assert [row["industry"] for row in rows_of(connector, "accounts")] == ['}}]{[[ " {']
    assert connector.pauses == []


def test_an_empty_bulk_result_is_not_waited_for(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    def bare(answer: Answer) -> Answer:
        return Answer(200, b"", answer.headers)

    salesforce.faults.spoil(bare, on="/results", times=None)
    assert rows_of(connect(transport="bulk"), "accounts", ["industry"]) == []
    assert salesforce.count("/results") == 1


# --- results whose end nobody tells ------------------------------------------------------------


def without(*names: str) -> Callable[[Answer], Answer]:
    """Headers that a proxy takes away."""
    lowered = {name.lower() for name in names}

    def strip(answer: Answer) -> Answer:
        kept = {n: v for n, v in answer.headers.items() if n.lower() not in lowered}
        return Answer(answer.status, answer.body, kept)

    return strip


def uncounted(answer: Answer) -> Answer:
    body = json.loads(answer.body)
    body.pop("numberRecordsProcessed", None)
    return Answer.json(body)


ALL = ("Sforce-Locator", "Sforce-NumberOfRecords", "Sforce-Limit-Info")


@pytest.mark.parametrize("count", [3, 7])
@pytest.mark.parametrize("stripped", [ALL, ("Sforce-Locator",)])
def test_a_result_whose_end_nobody_tells_is_refused(
    salesforce: SalesforceSimulator, connect: Connect, stripped: tuple[str, ...], count: int
) -> None:
    for _ in range(count):
        salesforce.org.create("Account")
    salesforce.faults.spoil(without(*stripped), on="/results", times=None)
    salesforce.faults.spoil(uncounted, on="GET .*/jobs/query/[^/]+$", times=None)
    with pytest.raises(SourceError, match=r"may be a part.*headers Sforce-\*, or set transport"):
        rows_of(connect(transport="bulk", page_rows=5), "accounts", ["id"])


@pytest.mark.parametrize("count", [0, 3, 7])
def test_one_of_count_and_locator_is_enough_to_know_the_end(
    salesforce: SalesforceSimulator, connect: Connect, count: int
) -> None:
    made = [salesforce.org.create("Account") for _ in range(count)]
    salesforce.faults.spoil(uncounted, on="GET .*/jobs/query/[^/]+$", times=None)
    rows = rows_of(connect(transport="bulk", page_rows=5), "accounts", ["id"])
    assert [row["id"] for row in rows] == made
    salesforce.faults.clear()
    salesforce.faults.spoil(without(*ALL), on="/results", times=None)
    rows = rows_of(connect(transport="bulk", page_rows=10), "accounts", ["id"])
    assert [row["id"] for row in rows] == made
