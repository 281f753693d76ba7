"""The simulated Salesforce: Bulk API 2.0 query jobs."""

from __future__ import annotations

from datetime import date

import pytest

from simulators.salesforce import SalesforceSimulator
from simulators.salesforce_client import Client, V, some_accounts


def test_a_job_needs_polls_and_repeats_its_header_on_each_page(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    ids = some_accounts(salesforce, 3)
    created = client.job("SELECT Id, Owner.Name FROM Account ORDER BY Id").json()
    assert (created["state"], created["apiVersion"]) == ("UploadComplete", 67.0)
    job = f"{V}/jobs/query/{created['id']}"
    early = client.send("GET", f"{job}/results")
    assert (early.status_code, early.json()[0]["errorCode"]) == (412, "JOB_NOT_COMPLETE")
    states = [client.send("GET", job).json() for _ in range(3)]
    assert [s["state"] for s in states] == ["InProgress", "JobComplete", "JobComplete"]
    assert states[-1]["numberRecordsProcessed"] == 3
    first = client.send("GET", f"{job}/results", params={"maxRecords": "2"})
    assert first.headers["Sforce-NumberOfRecords"] == "2"
    assert first.text == f'"Id","Owner.Name"\n"{ids[0]}",""\n"{ids[1]}",""\n'
    locator = {"maxRecords": "2", "locator": first.headers["Sforce-Locator"]}
    for _ in range(2):
        last = client.send("GET", f"{job}/results", params=locator)
        assert last.text == f'"Id","Owner.Name"\n"{ids[2]}",""\n'
        assert last.headers["Sforce-Locator"] == "null"
    other = client.send("GET", f"{job}/results".replace("v67", "v66"))
    assert other.status_code == 409


def test_results_survive_a_new_session(salesforce: SalesforceSimulator, client: Client) -> None:
    some_accounts(salesforce, 3)
    job = client.finished_job("SELECT Id FROM Account")
    salesforce.tokens.revoke_all()
    client.token = salesforce.issue()
    assert client.send("GET", f"{job}/results").status_code == 200


def test_results_are_a_snapshot(salesforce: SalesforceSimulator, client: Client) -> None:
    [account] = some_accounts(salesforce, 1)
    job = client.finished_job("SELECT Name FROM Account")
    salesforce.org.update(account, Name="renamed")
    assert "Acme 0" in client.send("GET", f"{job}/results").text


def test_values_of_results_have_the_forms_of_bulk(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    salesforce.org.create(
        "Opportunity", Name='a;"b"\n🚀', Amount=10.5, CloseDate=date(2026, 1, 31), FiscalYear=2026
    )
    query = (
        "SELECT Name, Amount, CloseDate, FiscalYear, IsWon, NextStep, CreatedDate FROM Opportunity"
    )
    job = client.finished_job(query, columnDelimiter="SEMICOLON", lineEnding="CRLF")
    _, row = client.send("GET", f"{job}/results").text.split("\r\n", 1)
    assert row == (
        '"a;""b""\n🚀";"10.5";"2026-01-31";"2026.0";"false";"";"2026-01-12T08:00:00.000Z"\r\n'
    )


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT COUNT() FROM Account", "not supported in Bulk Query"),
        ("SELECT Name, COUNT(Id) FROM Account GROUP BY Name", "not supported in Bulk Query"),
        ("SELECT Id FROM Account LIMIT 5 OFFSET 5", "not supported in Bulk Query"),
        ("SELECT BillingAddress FROM Account", "Selecting compound data not supported"),
        ("SELECT Id FROM CaseStatus", "Entity 'CaseStatus' is not supported by the Bulk API."),
        ("SELECT Id FROM Nope", "sObject type 'Nope' is not supported"),
    ],
)
def test_what_bulk_refuses_is_refused_at_creation(client: Client, query: str, words: str) -> None:
    answer = client.job(query)
    assert answer.status_code == 400
    assert words in answer.json()[0]["message"]


def test_jobs_can_fail_hang_and_be_aborted(salesforce: SalesforceSimulator, client: Client) -> None:
    salesforce.bulk.outcomes = ["fail: Timeout: retried more than 15 times", "hang"]
    jobs = [client.job("SELECT Id FROM Account").json()["id"] for _ in range(2)]
    wrong = client.job("SELECT Foo__c FROM Account").json()["id"]
    for _ in range(3):
        failed, hanging, unknown = (
            client.send("GET", f"{V}/jobs/query/{job}").json() for job in (*jobs, wrong)
        )
    assert (failed["state"], failed["errorMessage"]) == (
        "Failed",
        "Timeout: retried more than 15 times",
    )
    assert hanging["state"] == "InProgress"
    assert unknown["errorMessage"].startswith("INVALID_FIELD: ")
    path = f"{V}/jobs/query/{jobs[1]}"
    assert client.send("DELETE", path).status_code == 400
    assert client.send("PATCH", path, json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert client.send("DELETE", path).status_code == 204
    assert client.send("GET", path).status_code == 404


def test_the_daily_number_of_jobs_ends(salesforce: SalesforceSimulator, client: Client) -> None:
    salesforce.bulk.jobs_left = 1
    assert client.job("SELECT Id FROM Account").status_code == 200
    refused = client.job("SELECT Id FROM Account").json()[0]
    assert refused["errorCode"] == "LIMIT_EXCEEDED"
