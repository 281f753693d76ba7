"""Queries and bulk jobs: which, when, and what is done about everything that goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from connectors.salesforce.orgs import Connect, Quick, rows_of
from connectors.salesforce.sites import Site
from crmetrics.errors import SourceError
from crmetrics.plugin import SourceStorage
from crmetrics.testing import CollectingRequest
from simulators.crowd import Crowd
from simulators.messages import Answer
from simulators.salesforce import SalesforceSimulator
from simulators.salesforce.errors import Refusal
from simulators.salesforce.moods import too_wide
from simulators.salesforce.selecting import Selection

COLUMNS = ("id", "industry", "country")


def accounts(salesforce: SalesforceSimulator, count: int) -> list[str]:
    return [
        salesforce.org.create("Account", Industry=f'a, "b"\r\nc{n} 🙂', BillingCountry=None)
        for n in range(count)
    ]


def read(connector: Quick) -> list[tuple[str, str]]:
    return [(row["id"], row["industry"]) for row in rows_of(connector, "accounts", COLUMNS)]


def expected(ids: list[str]) -> list[tuple[str, str]]:
    return [(name, f'a, "b"\r\nc{n} 🙂') for n, name in enumerate(ids)]


# --- the choice ------------------------------------------------------------------------------


def test_few_rows_come_by_query_and_the_first_page_is_not_asked_for_twice(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce, 5)
    assert read(connect(bulk_from=6)) == expected(made)
    assert salesforce.count("/jobs/query") == 0
    assert salesforce.count("/queryAll") == 1


def test_many_rows_come_by_a_bulk_job(salesforce: SalesforceSimulator, connect: Connect) -> None:
    made = accounts(salesforce, 6)
    assert read(connect(bulk_from=6, page_rows=4)) == expected(made)
    assert salesforce.count("POST .*/jobs/query") == 1
    assert salesforce.count("/results") == 2


@pytest.mark.parametrize(("transport", "jobs"), [("rest", 0), ("bulk", 1)])
def test_the_choice_can_be_overridden(
    salesforce: SalesforceSimulator, connect: Connect, transport: str, jobs: int
) -> None:
    made = accounts(salesforce, 3)
    assert read(connect(transport=transport, bulk_from=2)) == expected(made)
    assert salesforce.count("POST .*/jobs/query") == jobs


def test_an_object_that_bulk_refuses_is_read_by_query_and_not_tried_again(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.objects["Account"].is_bulk = False
    made = accounts(salesforce, 3)
    connector = connect(transport="bulk")
    assert read(connector) == expected(made)
    assert read(connector) == expected(made)
    assert salesforce.count("POST .*/jobs/query") == 1


def test_without_bulk_jobs_left_for_the_day_rows_come_by_query(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.bulk.jobs_left = 0
    made = accounts(salesforce, 3)
    assert read(connect(transport="bulk")) == expected(made)


# --- jobs ------------------------------------------------------------------------------------


def test_the_first_pauses_are_short_and_grow(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.bulk.polls_needed = 12
    accounts(salesforce, 1)
    connector = connect(transport="bulk")
    read(connector)
    assert connector.pauses[0] < 1
    assert connector.pauses == sorted(connector.pauses)
    assert max(connector.pauses) <= 30


def test_a_job_that_fails_is_an_error_with_its_reason(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    accounts(salesforce, 1)
    salesforce.bulk.outcomes = ["fail: retried more than 15 times"]
    with pytest.raises(SourceError, match=r"ended as Failed: retried more than 15 times"):
        read(connect(transport="bulk"))


def test_a_job_that_somebody_stops_is_an_error(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    accounts(salesforce, 1)
    salesforce.bulk.outcomes = ["abort"]
    with pytest.raises(SourceError, match=r"ended as Aborted"):
        read(connect(transport="bulk"))


def test_a_job_that_hangs_is_stopped_after_its_time(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    accounts(salesforce, 1)
    salesforce.bulk.outcomes = ["hang"]
    connector = connect(transport="bulk", bulk_timeout=600)
    with pytest.raises(SourceError, match=r"not complete after 10 minutes, and was stopped"):
        read(connector)
    assert salesforce.bulk.jobs == {}
    assert sum(connector.pauses) < 660


def test_a_job_that_was_read_is_deleted(salesforce: SalesforceSimulator, connect: Connect) -> None:
    accounts(salesforce, 1)
    connector = connect(transport="bulk")
    read(connector)
    connector.close()
    assert salesforce.bulk.jobs == {}


@pytest.mark.parametrize("lie", [1, 3, 1000])
def test_a_page_that_lies_about_its_rows_is_an_error(
    salesforce: SalesforceSimulator, connect: Connect, lie: int
) -> None:
    accounts(salesforce, 2)
    header = {"Sforce-NumberOfRecords": str(lie)}
    salesforce.faults.spoil(lambda answer: answer.with_headers(header), on="/results")
    with pytest.raises(SourceError, match=r"says it has .* rows, 2 came"):
        read(connect(transport="bulk"))


def test_a_proxy_that_strips_headers_cannot_cut_a_result_in_silence(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce, 5)

    def stripped(answer: Answer) -> Answer:
        kept = {n: v for n, v in answer.headers.items() if not n.lower().startswith("sforce-")}
        return Answer(answer.status, answer.body, kept)

    salesforce.faults.spoil(stripped, on="/results", times=None)
    with pytest.raises(SourceError, match=r"found 5 rows, its pages hold 3"):
        read(connect(transport="bulk", page_rows=3))
    assert read(connect(transport="bulk", page_rows=5)) == expected(made)


@pytest.mark.parametrize("status", [204, 412])
def test_results_that_are_not_ready_are_an_error_and_no_empty_result(
    salesforce: SalesforceSimulator, connect: Connect, status: int
) -> None:
    accounts(salesforce, 2)
    salesforce.faults.answer(status, on="/results", times=None)
    with pytest.raises(SourceError):
        read(connect(transport="bulk"))


def test_bytes_that_no_text_holds_are_left_out_of_a_bulk_result(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.org.create("Account", Industry="Retail")
    salesforce.faults.spoil(
        lambda answer: Answer(
            answer.status, answer.body.replace(b"Retail", b"Re\0tail"), answer.headers
        ),
        on="/results",
    )
    assert [row[1] for row in read(connect(transport="bulk"))] == ["Retail"]


# --- resuming --------------------------------------------------------------------------------


def test_a_killed_run_goes_on_with_its_job_and_reads_what_changed_since(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce, 6)
    storage = SourceStorage()
    killed = connect(bulk_from=2, page_rows=2, storage=storage)
    with CollectingRequest("accounts", columns=COLUMNS) as request:
        next(killed.read(request))  # and no close(): the process is gone
    salesforce.clock.advance(60)
    late = salesforce.org.create("Account", Industry="late")
    salesforce.org.update(made[0], Industry="changed")
    again = connect(bulk_from=2, page_rows=2, storage=storage)
    with CollectingRequest("accounts", columns=(*COLUMNS, "updated_at")) as request:
        request.intake.started = salesforce.clock()
        assert again.api is not None
        table = request.collect(again.read(request))
    newest = {row["id"]: row for row in sorted(table.to_pylist(), key=lambda r: r["updated_at"])}
    assert set(newest) == {*made, late}
    assert newest[made[0]]["industry"] == "changed"


def test_a_job_of_a_killed_run_is_found_by_its_query(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce, 4)
    storage = SourceStorage()
    for _ in range(3):
        connector = connect(transport="bulk", storage=storage)
        with CollectingRequest("accounts", columns=COLUMNS) as request:
            next(connector.read(request))
    assert salesforce.count("POST .*/jobs/query") == 1
    finished = connect(transport="bulk", storage=storage)
    assert {row[0] for row in read(finished)} == set(made)
    finished.close()
    assert salesforce.bulk.jobs == {}
    assert storage.read("bulk_jobs") == {}


def test_a_job_that_is_gone_is_made_anew(salesforce: SalesforceSimulator, connect: Connect) -> None:
    made = accounts(salesforce, 4)
    storage = SourceStorage()
    with CollectingRequest("accounts", columns=COLUMNS) as request:
        next(connect(transport="bulk", storage=storage).read(request))
    salesforce.bulk.jobs.clear()
    assert read(connect(transport="bulk", storage=storage)) == expected(made)


# --- too long, too slow ------------------------------------------------------------------------


def wide(salesforce: SalesforceSimulator, count: int = 700) -> tuple[list[str], str]:
    """Custom fields enough that no URI holds them, and an expression that reads them all."""
    names = [f"Field_With_A_Long_Name_{n:04}__c" for n in range(count)]
    salesforce.org.add_fields("Account", " ".join(names))
    made = []
    for n in range(7):
        values = {name: f"{n}-{number}" for number, name in enumerate(names)}
        made.append(salesforce.org.create("Account", **values))
    chosen = f"{names[0]}, '/', {names[count // 2]}, '/', {names[-1]}"
    unused = ", ".join(f"coalesce({name}, '')[:0]" for name in names)
    return made, f"concat({chosen}, {unused})"


@pytest.mark.parametrize("transport", ["auto", "rest"])
def test_a_select_longer_than_a_uri_goes_by_bulk_or_in_groups_of_fields(
    salesforce: SalesforceSimulator, connect: Connect, transport: str
) -> None:
    made, expression = wide(salesforce)
    connector = connect(transport=transport)
    found = rows_of(connector, "accounts", ["id", "segment"], mapping={"segment": expression})
    assert [(row["id"], row["segment"]) for row in found] == [
        (name, f"{n}-0/{n}-350/{n}-699") for n, name in enumerate(made)
    ]
    assert salesforce.count("POST .*/jobs/query") == (1 if transport == "auto" else 0)
    if transport == "rest":
        assert salesforce.count("/queryAll") == 2


def test_rows_that_come_between_groups_of_fields_do_not_shift_them(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made, expression = wide(salesforce)
    salesforce.faults.before(
        lambda: salesforce.org.purge(made[3]), on="GET .*/queryAll", skip=1, times=1
    )
    found = rows_of(
        connect(transport="rest"), "accounts", ["id", "segment"], mapping={"segment": expression}
    )
    rows = {row["id"]: row["segment"] for row in found}
    assert made[3] not in rows
    assert all(rows[name] == f"{n}-0/{n}-350/{n}-699" for n, name in enumerate(made) if n != 3)


@pytest.mark.parametrize("status", [414, 431])
def test_an_edge_that_finds_the_uri_too_long_is_answered_by_shorter_ones(
    salesforce: SalesforceSimulator, connect: Connect, status: int
) -> None:
    made = accounts(salesforce, 3)
    salesforce.faults.html(status, on="/queryAll", times=1)
    assert read(connect()) == expected(made)


def edge_of(limit: int, status: int) -> Callable[[Selection], Refusal | None]:
    """An edge that takes shorter URIs than Salesforce's own."""

    def check(selection: Selection) -> Refusal | None:
        if len(urlencode({"q": selection.query.text})) <= limit:
            return None
        return Refusal("", "URI Too Long", status)

    return check


@pytest.mark.parametrize("is_refused_later", [False, True])
@pytest.mark.parametrize(("limit", "status"), [(4_000, 414), (900, 431), (260, 414)])
def test_an_edge_that_takes_shorter_uris_gets_them(
    salesforce: SalesforceSimulator,
    connect: Connect,
    limit: int,
    status: int,
    is_refused_later: bool,
) -> None:
    made, expression = wide(salesforce, 120 if limit > 900 else 40)
    last = (120 if limit > 900 else 40) - 1
    salesforce.rest.batch_cap = 3
    if is_refused_later:  # a session that ends after the first page makes the query longer
        salesforce.faults.before(salesforce.tokens.revoke_all, on="GET .*/query/", times=1)
    salesforce.rest.checks.append(edge_of(limit, status))
    found = rows_of(
        connect(transport="rest"), "accounts", ["id", "segment"], mapping={"segment": expression}
    )
    assert [(row["id"], row["segment"]) for row in found] == [
        (name, f"{n}-0/{n}-{(last + 1) // 2}/{n}-{last}") for n, name in enumerate(made)
    ]


def test_one_short_uri_that_was_refused_makes_no_other_query_dearer(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    accounts(salesforce, 3)
    connector = connect(transport="rest")
    salesforce.faults.html(414, on="/queryAll", times=1)
    read(connector)
    before = salesforce.count("/queryAll")
    read(connector)
    assert salesforce.count("/queryAll") == before + 1


@pytest.mark.parametrize("transport", ["auto", "rest"])
@pytest.mark.parametrize(("limit", "most"), [(12_000, 8), (4_000, 14), (1_500, 30)])
def test_lists_of_ids_are_cut_until_the_edge_takes_them(
    site: Site, salesforce: SalesforceSimulator, limit: int, most: int, transport: str
) -> None:
    site.only, site.source = ("leads",), {"transport": transport}
    org = salesforce.org
    leads = [org.create("Lead", Status="New") for _ in range(1_100)]
    salesforce.clock.advance(3600)
    site.synced()
    campaign = org.create("Campaign")
    for lead in leads:
        org.create("CampaignMember", LeadId=lead, CampaignId=campaign)
    site.later(hours=1)
    # Nothing but the lists is too long: other conditions pass.
    edge = edge_of(limit, 414)
    salesforce.rest.checks.append(
        lambda found: edge(found) if " IN (" in found.query.text else None
    )
    before = len(salesforce.calls)
    site.synced()
    assert site.rows("leads", "id", "campaign_id") == [(lead, campaign) for lead in sorted(leads)]
    refused = [call for call in salesforce.calls[before:] if call.status == 414]
    assert 1 <= len(refused) <= most, "what was refused once was tried again"
    assert salesforce.count("POST .*/jobs/query") == 0


def test_a_uri_that_no_grouping_makes_short_enough_is_an_error_that_says_what_to_do(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    accounts(salesforce, 1)
    salesforce.rest.checks.append(edge_of(60, 414))
    with pytest.raises(SourceError, match=r"Account: .*one field only.*414.*transport: bulk"):
        read(connect(transport="rest"))
    assert salesforce.count("/queryAll") < 10


def test_a_query_that_is_too_slow_becomes_a_job(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce, 3)
    salesforce.rest.checks.append(too_wide(timedelta(days=1)))
    assert read(connect()) == expected(made)
    assert salesforce.count("POST .*/jobs/query") == 1


def test_a_query_that_is_too_slow_is_halved_until_it_is_not(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    first = datetime(2025, 12, 20, tzinfo=UTC)
    made = [
        salesforce.org.create("LoginHistory", LoginTime=first + timedelta(hours=n))
        for n in range(0, 200, 9)
    ]
    salesforce.rest.checks.append(too_wide(timedelta(days=2), field="LoginTime"))
    connector = connect(transport="rest")
    since, until = first - timedelta(days=1), first + timedelta(days=11)
    found = rows_of(connector, "user_activity", ["id"], since=since, until=until)
    assert [row["id"] for row in found] == made


def test_a_query_that_stays_too_slow_is_an_error(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    accounts(salesforce, 1)
    salesforce.rest.checks.append(too_wide(timedelta(seconds=1)))
    until = datetime(2026, 1, 12, 9, tzinfo=UTC)
    with pytest.raises(SourceError, match=r"QUERY_TIMEOUT"):
        rows_of(
            connect(transport="rest"), "accounts", ["id"],
            since=until - timedelta(hours=1), until=until,
        )  # fmt: skip


# --- the wire ----------------------------------------------------------------------------------

Trouble = Callable[[SalesforceSimulator], None]
PASSING: dict[str, Trouble] = {
    "503 thrice": lambda s: s.faults.answer(503, times=3, on="/queryAll"),
    "503 with Retry-After": lambda s: s.faults.answer(
        503, headers={"Retry-After": "7"}, on="/queryAll"
    ),
    "429": lambda s: s.faults.answer(429, times=2, on="/queryAll"),
    "406 without a body": lambda s: s.faults.answer(406, on="/queryAll"),
    "420": lambda s: s.faults.answer(420, on="/queryAll"),
    "HTML with 200": lambda s: s.faults.html(200, on="/queryAll"),
    "HTML with 503": lambda s: s.faults.html(503, on="/queryAll"),
    "a lost connection": lambda s: s.faults.hang_up(on="/queryAll"),
    "a reset": lambda s: s.faults.reset(on="/queryAll"),
    "half a body": lambda s: s.faults.truncate(0.5, on="/queryAll"),
    "half a body of a later page": lambda s: s.faults.truncate(0.5, on="GET .*/query/"),
    "too many long calls": lambda s: s.faults.answer(
        403,
        b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"ConcurrentPerOrgLongTxn Limit"}]',
        on="/queryAll",
    ),
    "a locked row": lambda s: s.faults.answer(
        400, b'[{"errorCode":"UNABLE_TO_LOCK_ROW","message":"x"}]', on="/queryAll"
    ),
    "500 at login": lambda s: s.faults.answer(500, on="oauth2"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_waited_for(
    salesforce: SalesforceSimulator, connect: Connect, name: str
) -> None:
    salesforce.rest.batch_cap = 4
    made = accounts(salesforce, 9)
    PASSING[name](salesforce)
    connector = connect()
    assert read(connector) == expected(made)
    if name == "503 with Retry-After":
        assert 7.0 in connector.pauses


BULK_TROUBLE: dict[str, Trouble] = {
    "503 at creation": lambda s: s.faults.answer(503, on="POST .*/jobs/query"),
    "503 at a poll": lambda s: s.faults.answer(503, on="GET .*/jobs/query/[^/]+$"),
    "half a page": lambda s: s.faults.truncate(0.5, on="/results"),
    "a lost connection at a later page": lambda s: s.faults.hang_up(on="/results", skip=1),
    "a session that ends between pages": lambda s: s.faults.before(
        s.tokens.revoke_all, on="/results", skip=1
    ),
}


@pytest.mark.parametrize("name", BULK_TROUBLE)
def test_what_passes_is_waited_for_in_bulk_too(
    salesforce: SalesforceSimulator, connect: Connect, name: str
) -> None:
    made = accounts(salesforce, 9)
    BULK_TROUBLE[name](salesforce)
    assert read(connect(transport="bulk", page_rows=4)) == expected(made)


LASTING: dict[str, Trouble] = {
    "503": lambda s: s.faults.answer(503, times=None, on="/queryAll"),
    "HTML": lambda s: s.faults.html(200, times=None, on="/queryAll"),
    "hang up": lambda s: s.faults.hang_up(times=None, on="/queryAll"),
    "no next page": lambda s: s.faults.answer(
        200, b'{"totalSize":9,"done":false,"records":[]}', on="/queryAll", times=None
    ),
    "no records": lambda s: s.faults.answer(200, b'{"ok":true}', on="/queryAll", times=None),
}


@pytest.mark.parametrize("name", LASTING)
def test_what_does_not_pass_is_an_error_and_never_an_empty_result(
    salesforce: SalesforceSimulator, connect: Connect, name: str
) -> None:
    accounts(salesforce, 9)
    LASTING[name](salesforce)
    with pytest.raises(SourceError):
        read(connect())
    assert salesforce.count() < 60


def test_datasets_are_asked_for_side_by_side(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce, 3)
    lead = salesforce.org.create("Lead", Status="New")
    connector = connect(transport="bulk", parallel=2)
    requests = [CollectingRequest(name, columns=["id"]) for name in ("accounts", "leads")]
    connector.prepare(requests)
    assert salesforce.count("POST .*/jobs/query") == 2  # before the first row is read
    tables = [request.collect(connector.read(request)) for request in requests]
    assert [sorted(table["id"].to_pylist()) for table in tables] == [made, [lead]]
    assert salesforce.count("POST .*/jobs/query") == 2
    for request in requests:
        request.close()


@pytest.mark.parametrize("transport", ["rest", "bulk"])
@pytest.mark.parametrize("parallel", [1, 3])
def test_as_many_objects_are_asked_for_at_once_as_allowed_and_never_more(
    site: Site, salesforce: SalesforceSimulator, transport: str, parallel: int
) -> None:
    site.only = ("accounts", "contacts", "products", "campaigns", "campaign_members", "order_items")
    site.packs = ("sales", "marketing")
    site.source = {"transport": transport, "parallel": parallel}
    salesforce.org.create("Account")
    salesforce.clock.advance(3600)
    on = "POST .*/jobs/query$" if transport == "bulk" else "GET .*/queryAll"
    salesforce.crowd = Crowd(on, expected=parallel)
    site.synced()
    assert salesforce.crowd.most == parallel
    assert salesforce.count(on) == 6


def test_a_next_page_at_another_host_gets_no_token(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    link = "https://elsewhere.example/services/data/v65.0/query/01g-2"
    page = {"totalSize": 3, "done": False, "nextRecordsUrl": link, "records": []}
    salesforce.faults.answer(200, json.dumps(page).encode(), on="FROM Account", times=1)
    with pytest.raises(SourceError, match=r"https://elsewhere\.example.*token is not sent"):
        rows_of(connect(transport="rest"), "accounts", ["id"])


def test_a_refusal_that_repeats_secrets_shows_none(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.rest.checks.append(
        lambda _: Refusal(
            "MALFORMED_QUERY",
            f"no {salesforce.login.app.client_secret} {sorted(salesforce.tokens.live)[0]}",
        )
    )
    with pytest.raises(SourceError, match="MALFORMED_QUERY") as failure:
        rows_of(connect(transport="rest"), "accounts", ["id"])
    shown = f"{failure.value} {failure.value.args} {vars(failure.value)}"
    assert salesforce.login.app.client_secret not in shown
    assert not [token for token in salesforce.tokens.live if token in shown]
