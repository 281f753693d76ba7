"""simple-salesforce, an independent client, against the simulated Salesforce.

It knows nothing of this project: what it can do against the simulator, a connector built from the
documentation can do too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest

from simulators.salesforce import SalesforceSimulator
from simulators.salesforce_client import some_accounts


class PlainText(HTTPAdapter):
    """simple-salesforce speaks https only; the simulator does not."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        request.url = str(request.url).replace("https://", "http://")
        return super().send(request, *args, **options)


@pytest.fixture
def simple(salesforce: SalesforceSimulator) -> Iterator[Salesforce]:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://127.0.0.1", PlainText())
        yield Salesforce(
            instance_url=salesforce.base_url.replace("http:", "https:"),
            session_id=salesforce.issue(),
            version="67.0",
            session=session,
        )


def test_simple_salesforce_queries_and_pages(
    salesforce: SalesforceSimulator, simple: Salesforce
) -> None:
    ids = some_accounts(salesforce, 7)
    salesforce.rest.batch_cap = 3
    first = simple.query("SELECT Id, Name FROM Account ORDER BY Name")
    assert (first["totalSize"], first["done"], len(first["records"])) == (7, False, 3)
    second = simple.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    assert [r["Id"] for r in second["records"]] == ids[3:6]
    everything = simple.query_all("SELECT Id, Owner.Name FROM Account ORDER BY Id")
    assert [r["Id"] for r in everything["records"]] == ids
    assert everything["records"][0]["Owner"] is None


def test_simple_salesforce_runs_a_bulk_2_query(
    salesforce: SalesforceSimulator, simple: Salesforce
) -> None:
    ids = some_accounts(salesforce, 5)
    salesforce.org.update(ids[0], Name='Acme, "Ltd"\r\nBerlin 🚀', NumberOfEmployees=23)
    salesforce.bulk.polls_needed = 1
    query = "SELECT Id, Name, NumberOfEmployees, OwnerId FROM Account ORDER BY Id"
    pages = list(simple.bulk2.Account.query(query, max_records=2, wait=0.01))
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))]
    assert len(pages) == 3
    assert [row["Id"] for row in rows] == ids
    assert rows[0]["Name"] == 'Acme, "Ltd"\r\nBerlin 🚀'
    assert (rows[0]["NumberOfEmployees"], rows[0]["OwnerId"]) == ("23.0", "")


def test_simple_salesforce_reads_describe_deleted_and_limits(
    salesforce: SalesforceSimulator, simple: Salesforce
) -> None:
    [account] = some_accounts(salesforce, 1)
    salesforce.org.delete(account)
    now = salesforce.clock()
    names = [f["name"] for f in simple.Account.describe()["fields"]]
    assert {"Id", "OwnerId", "MasterRecordId"} <= set(names)
    found = simple.Account.deleted(now - timedelta(days=1), now + timedelta(minutes=5))
    assert [r["id"] for r in found["deletedRecords"]] == [account]
    assert simple.limits()["DailyApiRequests"]["Max"] == 100_000
    assert simple.api_usage["api-usage"].total == 100_000


def test_simple_salesforce_meets_errors_as_such(
    salesforce: SalesforceSimulator, simple: Salesforce
) -> None:
    with pytest.raises(SalesforceMalformedRequest, match="No such column"):
        simple.query("SELECT Nope FROM Account")
    salesforce.tokens.revoke_all()
    with pytest.raises(SalesforceExpiredSession):
        simple.query("SELECT Id FROM Account")
