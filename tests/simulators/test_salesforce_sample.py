"""The generated sample CRM as a Salesforce org, asked in SOQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from crmetrics.testing.data import SampleCrm
from crmetrics.testing.data.live import LiveRecords
from simulators.salesforce import SalesforceSimulator
from simulators.salesforce.sample import as_salesforce_keeps, serve_sample
from simulators.salesforce.sample.people import SECRET_TEXT
from simulators.salesforce_client import Client


@pytest.fixture(scope="module")
def crm() -> SampleCrm:
    return SampleCrm(seed=11, scale=0.1)


@pytest.fixture(scope="module")
def client(crm: SampleCrm) -> Iterator[Client]:
    with SalesforceSimulator(is_multi_currency=True) as salesforce:
        serve_sample(salesforce.org, crm)
        client = Client(salesforce)
        yield client
        client.session.close()


def test_won_amounts_by_currency_are_those_of_the_records(crm: SampleCrm, client: Client) -> None:
    rows = client.rows(
        "SELECT CurrencyIsoCode, COUNT(Id) n, SUM(Amount) total FROM Opportunity "
        "WHERE IsWon = true AND Is_Test__c = false GROUP BY CurrencyIsoCode"
    )
    expected: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for deal in LiveRecords(crm.records).rows("opportunities"):
        if deal["is_won"]:
            currency = deal["currency"] or "USD"
            expected[currency] += deal["amount"] or 0
            count[currency] += 1
    assert {r["CurrencyIsoCode"]: r["n"] for r in rows} == dict(count)
    assert {r["CurrencyIsoCode"]: r["total"] for r in rows} == {
        currency: pytest.approx(float(total)) for currency, total in expected.items()
    }


def test_the_bin_holds_the_deleted_and_the_merged(crm: SampleCrm, client: Client) -> None:
    rows = client.rows("SELECT MasterRecordId FROM Account WHERE IsDeleted = true", "queryAll")
    newest = {row["id"]: row for row in crm.records["accounts"]}.values()
    merged = [row for row in newest if row.get("merged_into_id")]
    deleted = [row for row in newest if row.get("is_deleted") and not row.get("merged_into_id")]
    assert sum(row["MasterRecordId"] is not None for row in rows) == len(merged) > 0
    assert sum(row["MasterRecordId"] is None for row in rows) == len(deleted) > 0


def test_the_first_status_of_a_case_has_no_row_of_its_own(client: Client) -> None:
    fields = Counter(r["Field"] for r in client.rows("SELECT Field FROM CaseHistory"))
    cases = {r["CaseId"] for r in client.rows("SELECT CaseId FROM CaseHistory")}
    assert fields["created"] == len(cases)
    first = client.rows("SELECT NewValue FROM CaseHistory WHERE Field = 'created'")
    assert {r["NewValue"] for r in first} == {None}


def test_rates_keep_six_decimals_the_other_way_round(crm: SampleCrm, client: Client) -> None:
    rows = client.rows("SELECT IsoCode, ConversionRate, StartDate FROM DatedConversionRate")
    kept = {
        (row["currency"], row["valid_from"].isoformat()): row["rate"]
        for row in as_salesforce_keeps(crm.records)["exchange_rates"]
    }
    assert {(r["IsoCode"], r["StartDate"]): 1 / r["ConversionRate"] for r in rows} == kept
    exact = {row["valid_from"].isoformat(): row["rate"] for row in crm.records["exchange_rates"]
             if row["currency"] == "EUR"}  # fmt: skip
    for row in rows:
        if row["IsoCode"] == "EUR":
            assert 1 / row["ConversionRate"] == pytest.approx(float(exact[row["StartDate"]]), 1e-5)


def test_persons_can_be_told_by_a_word_that_no_kpi_needs(client: Client) -> None:
    [contact] = client.rows("SELECT Name, Email, Phone FROM Contact LIMIT 1")
    assert all(SECRET_TEXT.lower() in str(contact[f]).lower() for f in ("Name", "Email", "Phone"))
