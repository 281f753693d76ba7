"""The connector keeps the contract of connectors, and reads what Hello CRM holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmetrics.plugin import Connector, ConnectorContext, SourceError
from crmetrics.testing import CollectingRequest, ConnectorContract
from crmetrics_hello import HelloConnector
from hello_crm import COMPANIES, TOKEN, HelloCrm


def connector(crm: HelloCrm, token: str = TOKEN) -> HelloConnector:
    config = HelloConnector.Config.model_validate({"base_url": crm.base_url, "token": token})
    return HelloConnector(config, ConnectorContext("crm", Path()))


class TestContract(ConnectorContract):
    """Some twenty tests that every connector has to pass."""

    secrets = (TOKEN, "a-wrong-token")

    @pytest.fixture
    def connector_factory(self, crm: HelloCrm) -> Callable[[], Connector]:
        return lambda: connector(crm)

    @pytest.fixture
    def broken_factory(self, crm: HelloCrm) -> Callable[[], Connector]:
        return lambda: connector(crm, token="a-wrong-token")


def test_all_pages_are_read(crm: HelloCrm) -> None:
    with CollectingRequest("accounts", columns=["id", "country"]) as request:
        table = request.collect(connector(crm).read(request))
    assert table["id"].to_pylist() == [company["id"] for company in COMPANIES]
    assert [query.get("cursor") for query in crm.queries] == [None, "100", "200"]


def test_only_what_changed_since_is_asked_for(crm: HelloCrm) -> None:
    since = datetime(2026, 1, 1, 0, 59, tzinfo=UTC)
    with CollectingRequest("accounts", since=since) as request:
        table = request.collect(connector(crm).read(request))
    assert table["id"].to_pylist() == ["c59", "c119", "c179", "c239"]


def test_a_deleted_company_is_marked(crm: HelloCrm) -> None:
    with CollectingRequest("accounts", columns=["id", "is_deleted"]) as request:
        rows = request.collect(connector(crm).read(request)).to_pylist()
    assert [row["id"] for row in rows if row["is_deleted"]] == ["c250"]


def test_a_column_can_be_mapped_to_any_field(crm: HelloCrm) -> None:
    mapping = {"segment": "case when size::int > 200 then 'large' else 'small' end"}
    with CollectingRequest("accounts", columns=["id", "segment"], mapping=mapping) as request:
        table = request.collect(connector(crm).read(request))
    assert table["segment"].to_pylist().count("large") == 50


@pytest.mark.parametrize("fault", ["html", "null", 404])
def test_an_answer_that_is_no_page_is_an_error_and_not_the_end(
    crm: HelloCrm, fault: str | int
) -> None:
    crm.fault = fault
    with CollectingRequest("accounts") as request, pytest.raises(SourceError, match="/companies"):
        request.collect(connector(crm).read(request))
