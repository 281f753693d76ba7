"""Limits, refusals, a service that stumbles: nothing is lost, messages say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.hubspot.conftest import Connect
from connectors.hubspot.connecting import rows, timing
from crmetrics.datasets import canonical_datasets
from crmetrics.errors import ConfigError, SourceError
from crmetrics.plugin import ConnectorContext, SourceStorage
from crmetrics.storage import PageLog
from crmetrics.testing import CollectingRequest
from crmetrics.testing.request import STARTED
from crmetrics_hubspot.connector import HubSpotConnector
from crmetrics_hubspot.options import HubSpotOptions
from simulators.hubspot import ALL_SCOPES, HubSpotSimulator, Limits

DEAL = {"dealstage": "closedwon", "amount": "5"}
COLUMNS = ("id", "amount")
SECOND = timedelta(seconds=1)
STUMBLES = (500, 502, 503, 504, 521, 524, 423, 477)


def fill(service: HubSpotSimulator, count: int) -> list[str]:
    return [
        service.account.create("deals", DEAL, at=STARTED + number * SECOND).id
        for number in range(count)
    ]


def ids_of(found: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in found]


# --- rate limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["", "retry_after", "bare"])
def test_the_ten_second_limit_is_kept_and_its_refusals_are_waited_for(
    connect: Connect, variant: Any
) -> None:
    with HubSpotSimulator(limits=Limits(per_ten_s=20, variant=variant)) as service:
        wanted = fill(service, 6_000)
        connector = connect(service)
        assert ids_of(rows(connector, "opportunities", columns=COLUMNS)) == wanted
        calls = len(service.calls)
        # It begins faster than this account allows, learns the limit, and then keeps it.
        assert len(service.limits.refused) <= 3, service.limits.refused
        assert sum(service.clock.slept) < 10 * (calls / 15 + 4)


@pytest.mark.parametrize("variant", ["", "retry_after", "bare"])
def test_searches_have_a_budget_of_their_own(connect: Connect, variant: Any) -> None:
    with HubSpotSimulator(limits=Limits(searches_per_s=2, variant=variant)) as service:
        wanted = fill(service, 3_000)
        state = {"refreshed": STARTED.isoformat()}
        request = CollectingRequest("opportunities", columns=COLUMNS, since=STARTED, state=state)
        with request:
            found = request.collect(connect(service).read(request))
        assert sorted(found["id"].to_pylist()) == sorted(wanted)
        assert 0 < len(service.limits.refused) <= 5
        assert service.count("/search") - len(service.limits.refused) == 16


def test_the_daily_limit_stops_the_read_at_once_and_says_when_to_come_back(
    connect: Connect,
) -> None:
    with HubSpotSimulator(limits=Limits(per_day=10)) as service:
        fill(service, 2_000)
        options = {"max_api_usage_percent": 100}
        with pytest.raises(SourceError, match=r"after midnight|daily calls are left"):
            rows(connect(service, **options), "opportunities", columns=COLUMNS)
        assert len(service.calls) <= 11


def test_a_daily_429_is_not_repeated(service: HubSpotSimulator, connect: Connect) -> None:
    service.limits.sent_today = service.limits.per_day or 0
    with pytest.raises(SourceError, match=r"after midnight in the account's time zone"):
        rows(connect(service), "opportunities", columns=COLUMNS)
    assert len(service.calls) == 1


def test_a_share_of_the_daily_calls_is_left_to_others(connect: Connect) -> None:
    with HubSpotSimulator(limits=Limits(per_day=100)) as service:
        fill(service, 9_000)
        with pytest.raises(SourceError, match=r"20 of the account's 100 daily calls are left"):
            rows(connect(service), "opportunities", columns=COLUMNS)
        assert len(service.calls) == 80


def test_a_run_has_a_ceiling_when_the_project_file_sets_one(
    service: HubSpotSimulator, connect: Connect
) -> None:
    fill(service, 2_000)
    with pytest.raises(SourceError, match=r"has made 7 calls.*max_calls_per_run"):
        rows(connect(service, max_calls_per_run=7), "opportunities", columns=COLUMNS)
    assert len(service.calls) == 7


# --- a service that stumbles ---------------------------------------------------------------------


def stumble(service: HubSpotSimulator, kind: str) -> None:
    faults, on = service.faults, "after="
    match kind:
        case "html":
            faults.html(200, on=on)
        case "plain words":
            faults.answer(200, b"upstream connect error", on=on, times=2)
        case "no body":
            faults.answer(200, on=on, times=2)
        case "half a page":
            torn = b'{"results":[{"id":"1","properties":{}}'
            faults.answer(200, torn, {"Content-Type": "application/json"}, on=on, times=2)
        case "hang-up":
            faults.hang_up(on=on, times=2)
        case "truncated":
            faults.truncate(on=on)
        case "reset":
            faults.reset(on=on)
        case status:
            faults.html(int(status), on=on, times=3)


@pytest.mark.parametrize(
    "kind",
    [
        "500",
        "502",
        "503",
        "504",
        "521",
        "524",
        "423",
        "477",
        "html",
        "plain words",
        "no body",
        "half a page",
        "hang-up",
        "truncated",
        "reset",
    ],
)
def test_a_stumble_on_the_way_loses_nothing(
    service: HubSpotSimulator, connect: Connect, kind: str
) -> None:
    wanted = fill(service, 250)
    stumble(service, kind)
    assert ids_of(rows(connect(service), "opportunities", columns=COLUMNS)) == wanted


@pytest.mark.parametrize("kind", ["502", "477", "html"])
def test_a_service_that_stays_down_fails_the_read(
    service: HubSpotSimulator, connect: Connect, kind: str
) -> None:
    fill(service, 250)
    status = 200 if kind == "html" else int(kind)
    service.faults.html(status, on="after=", times=None)
    with pytest.raises(SourceError, match=rf"HubSpot answered GET .*/deals with {status}"):
        rows(connect(service), "opportunities", columns=COLUMNS)


@pytest.mark.parametrize("circle", ["x", "xy", "xyz"])
def test_pages_that_lead_back_end_in_an_error(
    service: HubSpotSimulator, connect: Connect, circle: str
) -> None:
    fill(service, 250)
    connector = connect(service)
    json = {"Content-Type": "application/json"}
    for name in (circle * 2)[: len(circle) + 1]:
        page = f'{{"results":[],"paging":{{"next":{{"after":"{name}"}}}}}}'.encode()
        service.faults.answer(200, page, json, on="/deals.*limit")
    with pytest.raises(SourceError, match=r"objects/deals names one .* would never end"):
        rows(connector, "opportunities", columns=COLUMNS)


def test_an_error_shows_the_correlation_id_and_no_token(
    service: HubSpotSimulator, connect: Connect
) -> None:
    with pytest.raises(SourceError) as raised:
        rows(connect(service, auth={"token": "pat-na1-simulated-revoked"}), "opportunities")
    text = str(raised.value)
    assert "correlation id 4ef8c0de" in text and "401" in text
    assert "simulated-revoked" not in text


# --- tokens and scopes ---------------------------------------------------------------------------


def oauth(service: HubSpotSimulator, **changes: str) -> dict[str, Any]:
    return {
        "flow": "refresh_token",
        "client_id": service.client_id,
        "client_secret": service.client_secret,
        "refresh_token": service.refresh_token,
        **changes,
    }


def test_an_access_token_is_renewed_before_it_ends(
    service: HubSpotSimulator, connect: Connect
) -> None:
    wanted = fill(service, 2_500)
    service.faults.delay(80, on="after=", times=None)
    connector = connect(service, auth=oauth(service))
    assert ids_of(rows(connector, "opportunities", columns=COLUMNS)) == wanted
    assert service.clock.now > STARTED + timedelta(minutes=30)
    assert service.count("POST /oauth/2026-09/token") == 2
    assert not [call for call in service.calls if call.status == 401]


def test_a_token_that_dies_early_is_renewed_once_on_a_401(
    service: HubSpotSimulator, connect: Connect
) -> None:
    wanted = fill(service, 300)
    connector = connect(service, auth=oauth(service))
    service.faults.before(service.end_access_tokens, on="after=")
    assert ids_of(rows(connector, "opportunities", columns=COLUMNS)) == wanted
    assert [call.status for call in service.calls].count(401) == 1
    assert service.count("POST /oauth") == 2


def test_a_refused_refresh_token_says_what_to_check(
    service: HubSpotSimulator, connect: Connect
) -> None:
    auth = oauth(service, refresh_token="na1-simulated-wrong")
    with pytest.raises(SourceError, match="refused to renew the access token") as raised:
        rows(connect(service, auth=auth), "opportunities")
    assert "authorise the app again" in str(raised.value)
    assert "simulated-wrong" not in str(raised.value)
    assert service.client_secret not in str(raised.value)


def test_a_refresh_token_that_rotates_is_kept_for_the_next_run(
    service: HubSpotSimulator, tmp_path: Path
) -> None:
    service.rotates_refresh_token = True
    fill(service, 3)
    auth = oauth(service)
    for _ in range(3):
        config = HubSpotOptions(base_url=service.base_url, auth=auth)
        context = ConnectorContext(
            "hs", tmp_path, datasets=canonical_datasets(), storage=SourceStorage(tmp_path / "kept")
        )
        connector = HubSpotConnector(config, context)
        assert len(rows(connector, "opportunities", columns=COLUMNS)) == 3
        connector.close()
    assert service.count("POST /oauth") == 3
    assert all(call.status == 200 for call in service.seen("POST /oauth"))


@pytest.fixture
def narrow(service: HubSpotSimulator) -> Iterator[HubSpotSimulator]:
    """An account whose token may not read tickets."""
    service.token = service.grant("pat-na1-narrow", ALL_SCOPES - {"tickets"})
    yield service


def test_a_missing_scope_fails_its_dataset_and_names_the_scope(
    narrow: HubSpotSimulator, connect: Connect
) -> None:
    wanted = fill(narrow, 2)
    connector = connect(narrow)
    with pytest.raises(SourceError, match="Grant the token the scope tickets"):
        rows(connector, "cases")
    assert ids_of(rows(connector, "opportunities", columns=COLUMNS)) == wanted


def test_check_tells_missing_scopes_lacking_properties_and_what_is_left_of_the_calls(
    narrow: HubSpotSimulator, connect: Connect
) -> None:
    del narrow.account.objects["deals"].properties["closed_lost_reason"]
    fill(narrow, 4)
    found = {result.subject: result for result in connect(narrow).check()}
    assert found["account"].state == "ok" and "portal 62515" in found["account"].message
    cases = found["cases"]
    assert (cases.state, cases.lacks) == ("warning", {"cases": ()})
    assert "Grant the token the scope tickets" in cases.fix
    deals = found["opportunities"]
    assert deals.lacks == {"opportunities": ("lost_reason",)}
    assert "4 deals, not supplied: lost_reason (no property closed_lost_reason)" in deals.message
    assert found["products"].state == "ok"
    assert "of 250000 daily calls are left" in found["calls"].message


def test_no_personal_property_and_no_text_is_ever_asked_for(
    service: HubSpotSimulator, connect: Connect
) -> None:
    from simulators.hubspot import PERSONAL

    for kind in service.account.objects:
        service.account.create(kind, {}, at=STARTED)
    connector = connect(service)
    for supply in connector.datasets():
        rows(connector, supply.dataset, columns=supply.columns)
    asked = set[str]()
    for call in service.seen("/crm/objects/"):
        asked.update(call.query.get("properties", "").split(","))
        if call.body:
            asked.update(call.json().get("properties", ()))
    assert "hs_lastmodifieddate" in asked or "amount" in asked
    assert not asked & set(PERSONAL)


def test_an_address_is_asked_for_only_to_tell_test_records_and_goes_no_further(
    service: HubSpotSimulator, connect: Connect
) -> None:
    people = ["ann@Example.com", "bob@test.example.com", None]
    for address in people:
        service.account.create("contacts", {"email": address}, at=STARTED)
    connector = connect(service, test_email_domains=["test.example.com"])
    found = rows(connector, "contacts", columns=("id", "is_test", "created_at"))
    assert [row["is_test"] for row in found] == [False, True, False]
    assert not any("@" in str(row) for row in found)


@pytest.mark.parametrize("domains, kept", [((), 1), (("test.example.com",), 0)])
def test_pages_with_addresses_are_not_kept_on_disk(
    unlimited: HubSpotSimulator, tmp_path: Path, domains: tuple[str, ...], kept: int
) -> None:
    for number in range(1_500):
        values = {"email": f"p{number}@example.com", "lastname": 'O\\"Neil "x"', "phone": "5"}
        unlimited.account.create("contacts", values, at=STARTED)
    config = HubSpotOptions(
        base_url=unlimited.base_url,
        auth={"token": unlimited.token},
        test_email_domains=domains,
    )
    context = ConnectorContext(
        "hs", tmp_path, datasets=canonical_datasets(), storage=SourceStorage(tmp_path)
    )
    connector = HubSpotConnector(config, context, timing=timing(unlimited.clock))
    with CollectingRequest("contacts", columns=("id", "is_test", "created_at")) as request:
        next(connector.read(request))
        files = list(tmp_path.rglob("*.pages"))
        assert len(files) == kept
        texts = (b"@example.com", b"Neil")
        assert not [file for file in files if any(t in file.read_bytes() for t in texts)]
        for file in files:
            kept_pages = [json.loads(body)["results"] for body, _ in PageLog(file).kept()]
            assert {len(page) for page in kept_pages} == {100}
    connector.close()


@pytest.mark.parametrize(
    "options",
    [
        {"auth": {}},
        {"auth": {"flow": "refresh_token", "client_id": "x"}},
        {"auth": {"token": "t", "flow": "refresh_token"}},
        {"auth": {"token": "t"}, "api_version": "2026-04"},
        {"auth": {"token": "t"}, "api_version": "v4"},
        {"auth": {"token": "t"}, "ticket_stages": {"New": "fresh"}},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        HubSpotOptions(**options)


def test_plain_http_to_another_machine_is_refused(connect: Connect) -> None:
    config = HubSpotOptions(base_url="http://hubspot.example.com", auth={"token": "t"})
    connector = HubSpotConnector(config, ConnectorContext("hs", Path(), datasets={}))
    with pytest.raises(ConfigError, match="not encrypted"):
        _ = connector.account
