"""Entries of `columns:` that are neither a field nor SQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.salesforce.orgs import Connect, rows_of
from connectors.salesforce.project_files import findings, project
from crmetrics.errors import SourceError
from simulators.salesforce import SalesforceSimulator

NEITHER = "it is neither a field of Salesforce nor SQL: "


def test_an_entry_with_a_syntax_error_is_an_error_of_the_project_file_with_its_place(
    tmp_path: Path,
) -> None:
    project(
        tmp_path,
        "      accounts:",
        "        columns:",
        "          segment: Industry +",
        "          industry: Close Date",
        "          country: upper(BillingCountry)",
        "      cases: {columns: {category: Type__c, priority: case when Priority then}}",
    )
    at = "sources.crm.datasets"
    assert findings(tmp_path) == [
        f"crmetrics.yaml:11:20: {at}.accounts.columns.segment: {NEITHER}it ends where more is due.",
        f"crmetrics.yaml:12:21: {at}.accounts.columns.industry: {NEITHER}syntax error at or near "
        '"Date".',
        f"crmetrics.yaml:14:54: {at}.cases.columns.priority: {NEITHER}it ends where more is due.",
    ]


def test_a_name_that_no_field_can_have_fails_the_read(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Account")
    with pytest.raises(SourceError, match="'Close Date' can be no field of Salesforce") as failure:
        rows_of(connect(), "accounts", mapping={"segment": '"Close Date"'})
    assert "`datasets: accounts: columns: segment:`" in str(failure.value)


def test_a_field_that_is_named_like_a_word_of_sql_is_a_field(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.add_fields("Account", "Order")
    salesforce.org.create("Account", Order="gold")
    columns = {"segment": "Order"}
    connector = connect(datasets={"accounts": {"columns": columns}})
    [row] = rows_of(connector, "accounts", ["segment"], mapping=columns)
    assert row["segment"] == "gold"
