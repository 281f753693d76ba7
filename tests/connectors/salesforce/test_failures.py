"""What goes wrong on the wire and in the org: survived, or reported, and never half loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from connectors.salesforce.sites import Site, load_of, secrets_of
from crmetrics.errors import ExitCode
from simulators.messages import Answer
from simulators.salesforce import SalesforceSimulator
from simulators.salesforce.moods import too_wide

WAYS = pytest.mark.parametrize("transport", ["rest", "bulk"])
READING = r"GET .*(FROM Account |/query/01g|/results)"
LATER_PAGE = r"GET .*(/query/01g|/results\?.*locator)"
Trouble = Callable[[SalesforceSimulator, str], None]


def accounts(salesforce: SalesforceSimulator, count: int) -> list[str]:
    """Accounts whose industry is their number, created an hour before now."""
    ids = [salesforce.org.create("Account", Industry=f"{n:03}") for n in range(count)]
    salesforce.clock.advance(3600)
    return ids


def short_pages(salesforce: SalesforceSimulator) -> None:
    salesforce.rest.batch_cap = salesforce.bulk.page_cap = 8


def industries(site: Site) -> list[str]:
    return [row[0] for row in site.rows("accounts", "industry")]


# --- trouble that passes ---------------------------------------------------------------------

TROUBLES: dict[str, Trouble] = {
    "503 three times": lambda s, on: s.faults.answer(503, on=on, times=3),
    "503 with a date gone by": lambda s, on: s.faults.answer(
        503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, on=on
    ),
    "429 with a wait": lambda s, on: s.faults.answer(
        429, headers={"Retry-After": "1"}, on=on, times=2
    ),
    "406 without a body": lambda s, on: s.faults.answer(406, on=on),
    "420 without a body": lambda s, on: s.faults.answer(420, on=on),
    "500": lambda s, on: s.refuse("UNKNOWN_EXCEPTION", "An unexpected error", 500, on=on),
    "too many at once": lambda s, on: s.refuse(
        "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", 403, on=on
    ),
    "a locked row": lambda s, on: s.refuse("UNABLE_TO_LOCK_ROW", "unable to obtain", 400, on=on),
    "a reset": lambda s, on: s.faults.reset(on=on, times=2),
    "hung up": lambda s, on: s.faults.hang_up(on=on),
    "cut in the middle": lambda s, on: s.faults.truncate(0.5, on=on, times=2),
    "a page of html": lambda s, on: s.faults.html(200, on=on),
    "a page about maintenance": lambda s, on: s.faults.html(503, on=on),
}


@WAYS
@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_that_passes_costs_no_record(
    site: Site, salesforce: SalesforceSimulator, trouble: str, transport: str
) -> None:
    accounts(salesforce, 20)
    short_pages(salesforce)
    site.source = {"transport": transport}
    for place in (READING, LATER_PAGE):
        TROUBLES[trouble](salesforce, place)
    site.synced()
    assert industries(site) == [f"{number:03}" for number in range(20)]


@WAYS
def test_a_session_that_ends_between_pages_costs_no_record(
    site: Site, salesforce: SalesforceSimulator, transport: str
) -> None:
    accounts(salesforce, 30)
    short_pages(salesforce)
    site.source = {"transport": transport}
    salesforce.faults.before(salesforce.tokens.revoke_all, on=LATER_PAGE)
    site.synced()
    assert industries(site) == [f"{number:03}" for number in range(30)]
    assert salesforce.tokens.issued == 2


def test_a_token_good_for_few_calls_is_renewed_as_often_as_it_takes(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 60)
    short_pages(salesforce)
    site.source = {"transport": "rest"}
    salesforce.login.app.lives_for = 3
    site.synced()
    assert industries(site) == [f"{number:03}" for number in range(60)]
    assert salesforce.tokens.issued > 3


def test_an_expired_locator_is_replaced_from_the_last_record_on(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 40)
    short_pages(salesforce)
    site.source = {"transport": "rest"}
    salesforce.faults.before(salesforce.rest.expire_locators, on="/query/01g", skip=1)
    report = site.synced()
    assert industries(site) == [f"{number:03}" for number in range(40)]
    assert load_of(report, "accounts").fetched == 40


def test_a_query_over_too_much_time_is_cut_in_pieces(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    for day in range(40):
        salesforce.org.create("Account", Industry=f"{day:03}")
        salesforce.clock.advance(timedelta(days=1).total_seconds())
    salesforce.rest.checks.append(too_wide(timedelta(days=400)))
    site.source = {"transport": "rest"}
    site.synced()
    assert industries(site) == [f"{number:03}" for number in range(40)]


def test_what_is_too_slow_for_queries_comes_by_bulk(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 20)
    salesforce.rest.checks.append(too_wide(timedelta(days=1), object="Account"))
    site.synced()
    assert industries(site) == [f"{number:03}" for number in range(20)]
    assert salesforce.count("POST .*/jobs/query") == 1


# --- bulk jobs -------------------------------------------------------------------------------


def test_many_records_come_by_bulk_and_few_by_queries(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 20)
    site.source = {"bulk_from": 10}
    site.synced()
    assert salesforce.count("POST .*/jobs/query") == 1
    site.later(hours=1)
    salesforce.org.update(next(iter(salesforce.org.objects["Account"].records)), Industry="x")
    site.later(hours=1)
    site.synced()
    assert salesforce.count("POST .*/jobs/query") == 1
    assert len(industries(site)) == 20


def test_an_object_that_bulk_refuses_is_read_by_queries(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 20)
    salesforce.org.objects["Account"].is_bulk = False
    site.source = {"transport": "bulk"}
    site.synced()
    assert len(industries(site)) == 20


def test_without_jobs_left_for_today_queries_do(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 20)
    salesforce.bulk.jobs_left = 0
    site.source = {"transport": "bulk"}
    site.synced()
    assert len(industries(site)) == 20


def test_results_that_are_not_there_yet_are_waited_for(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 20)
    salesforce.bulk.polls_needed = 9
    site.source = {"transport": "bulk"}
    site.synced()
    assert len(industries(site)) == 20


@pytest.mark.parametrize("outcome", ["fail: Timeout: retried more than 15 times", "abort", "hang"])
def test_a_job_that_ends_badly_fails_the_dataset_and_says_why(
    site: Site, salesforce: SalesforceSimulator, outcome: str
) -> None:
    ids = accounts(salesforce, 20)
    site.source = {"transport": "bulk", "bulk_timeout": "1h"}
    site.synced()
    salesforce.org.update(ids[0], Industry="new")
    site.later(hours=1)
    salesforce.bulk.outcomes = [outcome]
    load = load_of(site.sync(), "accounts")
    assert load.failed
    told = {"fail": "retried more than 15 times", "abor": "Aborted", "hang": "60 minutes"}
    assert told[outcome[:4]] in str(load.error)
    assert industries(site) == [f"{number:03}" for number in range(20)]
    site.synced()
    assert industries(site)[-1] == "new"


def test_a_job_that_hangs_is_stopped(site: Site, salesforce: SalesforceSimulator) -> None:
    accounts(salesforce, 3)
    site.source = {"transport": "bulk", "bulk_timeout": "10m"}
    salesforce.bulk.outcomes = ["hang"]
    site.sync()
    assert salesforce.count("PATCH .*/jobs/query/") == 1
    assert salesforce.bulk.jobs == {}


def said(rows: str) -> Callable[[Answer], Answer]:
    return lambda answer: answer.with_headers({"Sforce-NumberOfRecords": rows})


def test_a_page_that_lies_about_its_rows_fails_the_dataset(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 20)
    short_pages(salesforce)
    site.source = {"transport": "bulk"}
    salesforce.faults.spoil(said("9"), on="/results", skip=1)
    load = load_of(site.sync(), "accounts")
    assert load.failed
    assert "9 rows" in str(load.error)
    site.synced()
    assert len(industries(site)) == 20


def test_a_page_that_is_lost_fails_the_dataset(site: Site, salesforce: SalesforceSimulator) -> None:
    """A proxy strips the headers: the first page looks like the last."""

    def stripped(answer: Answer) -> Answer:
        kept = {k: v for k, v in answer.headers.items() if not k.startswith("Sforce-")}
        return Answer(answer.status, answer.body, kept)

    accounts(salesforce, 20)
    short_pages(salesforce)
    site.source = {"transport": "bulk"}
    salesforce.faults.spoil(stripped, on="/results")
    load = load_of(site.sync(), "accounts")
    assert load.failed
    assert "20 rows" in str(load.error)


def test_stripped_headers_do_not_empty_a_whole_result(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    def stripped(answer: Answer) -> Answer:
        return Answer(answer.status, answer.body, {"Content-Type": "text/csv"})

    accounts(salesforce, 20)
    site.source = {"transport": "bulk"}
    salesforce.faults.spoil(stripped, on="/results")
    site.synced()
    assert len(industries(site)) == 20


def test_a_page_that_says_done_too_early_fails_the_dataset(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    def endless(answer: Answer) -> Answer:
        return Answer(200, answer.body.replace(b'"nextRecordsUrl"', b'"lostUrl"'), answer.headers)

    accounts(salesforce, 20)
    short_pages(salesforce)
    site.source = {"transport": "rest"}
    salesforce.faults.spoil(endless, on="FROM Account ")
    assert load_of(site.sync(), "accounts").failed


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b'{"totalSize":0,"done":true}', b'{"totalSize":20,"done":true,"records":[{"Id'],
    ids=["empty", "null", "no records", "cut"],
)
def test_an_answer_without_records_is_not_taken_for_an_empty_org(
    site: Site, salesforce: SalesforceSimulator, body: bytes
) -> None:
    accounts(salesforce, 20)
    site.synced()
    site.later(hours=1)
    headers = {"Content-Type": "application/json"}
    salesforce.faults.answer(200, body, headers, on="FROM Account ", times=None)
    load = load_of(site.sync(full=True), "accounts")
    assert load.failed
    assert industries(site) == [f"{number:03}" for number in range(20)]


HOSTILE = ["", "null", "NULL", "007", "1E5", "true", "2026-01-01", 'a "quoted", b', "line\r\nbreak",
           "tab\tand;semi", "Ünïcode 🚀", "'; DROP", "\\back", " spaces ", "x" * 255]  # fmt: skip


@WAYS
def test_texts_arrive_as_they_are(
    site: Site, salesforce: SalesforceSimulator, transport: str
) -> None:
    for text in HOSTILE:
        salesforce.org.create("Account", Industry=text or None)
    salesforce.clock.advance(3600)
    short_pages(salesforce)
    site.source = {"transport": transport}
    site.synced()
    found = [row[1] for row in site.rows("accounts", "id", "industry")]
    assert found == [text or None for text in HOSTILE]


def test_a_describe_that_fails_among_others_is_asked_for_alone(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    def one_fails(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        body["results"][0] = {"statusCode": 500, "result": [{"errorCode": "UNKNOWN_EXCEPTION",
                                                             "message": "x"}]}  # fmt: skip
        return Answer.json({**body, "hasErrors": True})

    accounts(salesforce, 3)
    site.only = ("accounts", "contacts", "campaigns")
    salesforce.faults.spoil(one_fails, on="composite/batch")
    site.synced()
    assert len(industries(site)) == 3


# --- what is not there -----------------------------------------------------------------------


def test_an_object_that_the_org_lacks_stops_nothing_else(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 3)
    salesforce.org.remove_object("Campaign", "CampaignMember")
    salesforce.org.hide("Case")
    site.only = ("accounts", "campaigns", "campaign_members", "cases")
    report = site.sync()
    assert len(industries(site)) == 3
    notes = " ".join(str(note) for note in report.notes())
    for name in ("Campaign", "CampaignMember", "Case"):
        assert f"no {name}," in notes


def test_a_hidden_field_is_told_and_the_rest_is_read(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 3)
    salesforce.org.hide("Account", "BillingCountry")
    report = site.synced()
    assert len(industries(site)) == 3
    assert any("country" in note for note in load_of(report, "accounts").notices)


def test_a_field_that_gets_hidden_later_does_not_leave_old_values_standing(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    ids = accounts(salesforce, 3)
    site.synced()
    salesforce.org.hide("Account", "Industry")
    salesforce.org.update(ids[0], Industry="new", BillingCountry="DE")
    site.later(hours=1)
    load = load_of(site.sync(), "accounts")
    assert load.failed
    assert "Account.Industry" in str(load.error)
    site.synced(full=True)
    assert site.rows("accounts", "industry") == [(None,)] * 3


def test_an_object_that_gets_hidden_later_fails_and_keeps_its_records(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 3)
    site.synced()
    salesforce.org.hide("Account")
    site.later(hours=1)
    report = site.sync()
    assert load_of(report, "accounts").failed
    assert report.error is not None
    assert len(industries(site)) == 3


def test_a_custom_field_comes_by_the_mapping(site: Site, salesforce: SalesforceSimulator) -> None:
    salesforce.org.add_fields("Account", "Size_Band__c:picklist Region__c>Account")
    parent = salesforce.org.create("Account", Industry="Parent")
    salesforce.org.create("Account", Size_Band__c="L", Region__c=parent)
    site.datasets = {
        "accounts": {"columns": {"segment": "Size_Band__c", "churn_reason": "Region__r.Industry"}}
    }
    site.synced()
    assert site.rows("accounts", "segment", "churn_reason") == [("L", "Parent"), (None, None)]


def test_a_wrong_custom_field_is_named(site: Site, salesforce: SalesforceSimulator) -> None:
    accounts(salesforce, 3)
    site.datasets = {"accounts": {"columns": {"segment": "Size_Bnd__c"}}}
    report = site.sync()
    told = [*load_of(report, "accounts").notices, str(report.error)]
    assert any("Size_Bnd__c" in text for text in told)


@pytest.mark.parametrize("transport", ["auto", "rest", "bulk"])
def test_more_fields_than_an_address_can_hold_are_read(
    site: Site, salesforce: SalesforceSimulator, transport: str
) -> None:
    names = [f"A_Rather_Long_Custom_Field_Name_{n:04d}__c" for n in range(600)]
    salesforce.org.add_fields("Account", " ".join(names))
    expected = []
    for number in range(20):
        filled = {names[number]: "low", names[-1 - number]: "high"}
        salesforce.org.create("Account", **filled)
        expected.append("low")
    short_pages(salesforce)
    site.source = {"transport": transport}
    site.datasets = {"accounts": {"columns": {"segment": f"coalesce({', '.join(names)})"}}}
    site.synced()
    assert [row[0] for row in site.rows("accounts", "segment")] == expected
    assert all(call.status != 431 for call in salesforce.calls)


# --- limits and access -----------------------------------------------------------------------


def test_the_run_stops_before_the_allowance_is_used_up(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 300)
    short_pages(salesforce)
    salesforce.daily_calls, salesforce.used = 1000, 780
    site.source = {"transport": "rest", "max_api_usage_percent": 80}
    report = site.sync()
    assert report.error is not None
    assert "800" in str(report.error)
    assert salesforce.used <= 800
    salesforce.used = 0
    site.synced()
    assert len(industries(site)) == 300


def test_an_allowance_that_ends_in_the_middle_keeps_what_was_there(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    ids = accounts(salesforce, 80)
    short_pages(salesforce)
    site.source = {"transport": "rest", "max_api_usage_percent": 100}
    site.synced()
    for identity in ids:
        salesforce.org.update(identity, Industry="new")
    site.later(hours=1)
    # Others use the org at the same time.
    salesforce.faults.before(lambda: setattr(salesforce, "used", salesforce.daily_calls),
                             on="/query/01g", skip=2)  # fmt: skip
    load = load_of(site.sync(), "accounts")
    assert load.failed
    assert industries(site) == [f"{number:03}" for number in range(80)]
    salesforce.used = 0
    site.synced()
    assert set(industries(site)) == {"new"}


def test_a_ceiling_for_a_run_holds(site: Site, salesforce: SalesforceSimulator) -> None:
    accounts(salesforce, 300)
    short_pages(salesforce)
    site.source = {"transport": "rest", "max_calls_per_run": 12}
    report = site.sync()
    assert "max_calls_per_run" in str(report.error)
    assert salesforce.used <= 12


def test_an_allowance_that_others_used_up_ends_the_command_with_exit_3(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 3)
    site.more = {
        "jobs": {"monthly": {"kpis": ["won_amount"], "sinks": ["reports"]}},
        "sinks": {"reports": {"sink": "files", "path": "reports", "formats": ["json"]}},
    }
    salesforce.org.create("Opportunity", StageName="Won", IsWon=True, IsClosed=True, Amount=5,
                          CloseDate=date(2025, 12, 31))  # fmt: skip
    first = site.project.run("monthly")
    assert first.exit_code == ExitCode.OK, list(first.notes)
    salesforce.used = salesforce.daily_calls
    second = site.project.run("monthly")
    assert second.exit_code == ExitCode.SOURCE
    assert second.results.column("value").to_pylist() == first.results.column("value").to_pylist()


def test_a_token_that_is_refused_for_ever_ends_the_read_at_once(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 3)
    salesforce.refuse("INVALID_SESSION_ID", "Session expired or invalid", 401,
                      on="/services/data/v", times=None)  # fmt: skip
    report = site.sync()
    assert report.error is not None
    assert "INVALID_SESSION_ID" in str(report.error)
    assert salesforce.tokens.issued == 2
    assert salesforce.count("/services/data/v") < 10


def test_a_missing_scope_is_told_as_such(site: Site, salesforce: SalesforceSimulator) -> None:
    accounts(salesforce, 3)
    salesforce.login.app.scopes = frozenset({"id"})
    report = site.sync()
    assert "scope" in str(report.error)
    assert salesforce.tokens.issued <= 2


def test_a_wrong_secret_is_told_without_showing_it(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 3)
    site.write()
    app = salesforce.login.app
    site.source["auth"] = {
        "flow": "client_credentials",
        "client_id": app.client_id,
        "client_secret": "wrongSecret12345",
    }
    report = site.sync()
    assert "client_secret" in str(report.error)
    assert "wrongSecret12345" not in str(report.error)
    assert salesforce.count("POST /services/oauth2/token") == 1


def test_an_api_version_that_the_org_lacks_is_told_with_those_it_has(
    site: Site, salesforce: SalesforceSimulator
) -> None:
    accounts(salesforce, 3)
    site.source = {"api_version": "99.0"}
    assert "67.0" in str(site.sync().error)


def test_no_message_and_no_log_holds_a_secret(
    site: Site, salesforce: SalesforceSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    accounts(salesforce, 30)
    short_pages(salesforce)
    salesforce.faults.answer(503, on=READING, times=2)
    salesforce.faults.truncate(0.5, on=LATER_PAGE)

    def echo(answer: Answer) -> Answer:
        """A page of an edge that shows the session it was asked with."""
        return Answer.text(f"token {' '.join(salesforce.tokens.live)}", 500)

    salesforce.faults.spoil(echo, on=LATER_PAGE, times=9)
    report = site.sync()
    assert "token ****" in f"{caplog.text} {report.error}"
    texts = [caplog.text, str(report.error), *map(str, report.notes()), repr(site.project.config)]
    written = [path for path in (site.directory / ".crmetrics").rglob("*") if path.is_file()]
    texts += [path.read_bytes().decode("latin-1") for path in written]
    for secret in secrets_of(salesforce):
        assert all(secret not in text for text in texts), secret
