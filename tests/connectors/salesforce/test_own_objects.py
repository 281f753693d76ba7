"""Datasets that the project file reads from an object of its own, spelled right and wrong."""

from __future__ import annotations

import pytest

from connectors.salesforce.orgs import Connect, rows_of
from connectors.salesforce.sites import Site, load_of
from crmetrics.errors import SourceError, UnavailableError
from simulators.salesforce import SalesforceSimulator

COLUMNS = {"survey_type": "'nps'", "score": "Score__c"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Nps_c", "Did you mean 'Nps__c'?"),
        ("nps_answers__c", "hides it from the user. Correct the name"),
    ],
)
def test_an_object_that_the_project_file_misspells_is_an_error_with_the_close_ones(
    salesforce: SalesforceSimulator, connect: Connect, name: str, hint: str
) -> None:
    salesforce.org.add_object("Nps__c", "a01", "Score__c:double")
    connector = connect(datasets={"survey_responses": {"object": name, "columns": COLUMNS}})
    with pytest.raises(SourceError, match="the org has no such object") as failure:
        rows_of(connector, "survey_responses", mapping=COLUMNS)
    assert not isinstance(failure.value, UnavailableError)
    assert f"`object: {name}` of survey_responses" in str(failure.value)
    assert hint in str(failure.value)
    lines = {line.subject: line for line in connector.check()}
    line = lines["survey_responses (object)"]
    assert (line.state, line.message) == ("error", str(failure.value))
    assert line.lacks == {"survey_responses": ()}
    assert lines["accounts (Account)"].state == "ok"


def test_a_misspelt_object_fails_the_sync_and_one_that_an_org_may_lack_does_not(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    salesforce.org.remove_object("SurveyInvitation")
    site.only = ("accounts", "survey_responses")
    salesforce.org.create("Account")
    salesforce.clock.advance(3600)
    report = site.sync()
    assert load_of(report, "survey_responses").status == "absent"
    assert report.error is None
    site.datasets = {"survey_responses": {"object": "Nps_c", "columns": COLUMNS}}
    report = site.sync()
    assert load_of(report, "survey_responses").status == "failed"
    assert "`object: Nps_c` of survey_responses" in str(report.error)
    assert load_of(report, "accounts").status != "failed"


def test_an_object_that_is_listed_and_may_not_be_queried_is_told_as_that(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.add_object("Nps__c", "a01", "Score__c:double")
    salesforce.org.objects["Nps__c"].is_queryable = False
    connector = connect(datasets={"survey_responses": {"object": "nps__c", "columns": COLUMNS}})
    with pytest.raises(SourceError, match=r"the user may not query it\. Give the user read access"):
        rows_of(connector, "survey_responses", mapping=COLUMNS)
