"""Every flow gives a token; a token that ends is renewed once; a refusal says what to correct."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.salesforce.orgs import Connect, Quick, rows_of
from crmetrics.errors import SourceError
from crmetrics.plugin import SourceStorage
from simulators.salesforce import SalesforceSimulator

KEY = "3MVG9simulatedConsumerKey"
SECRET = "simulatedConsumerSecret0001"


def accounts(salesforce: SalesforceSimulator, count: int) -> list[str]:
    return [salesforce.org.create("Account", Industry=f"i{n}") for n in range(count)]


def ids(connector: Quick) -> list[str]:
    return [row["id"] for row in rows_of(connector, "accounts", ["id"])]


# --- flows -----------------------------------------------------------------------------------


def test_client_credentials(salesforce: SalesforceSimulator, connect: Connect) -> None:
    made = accounts(salesforce, 3)
    assert ids(connect()) == made
    assert salesforce.count("POST /services/oauth2/token") == 1


def test_a_ready_made_token_is_sent_as_it_is(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    made = accounts(salesforce, 1)
    auth = {"flow": "access_token", "access_token": salesforce.issue()}
    assert ids(connect(auth=auth)) == made
    assert salesforce.count("oauth2") == 0


def test_a_ready_made_token_that_has_ended_is_an_error_with_a_way_out(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    token = salesforce.issue()
    salesforce.tokens.revoke_all()
    with pytest.raises(SourceError, match=r"INVALID_SESSION_ID") as caught:
        ids(connect(auth={"flow": "access_token", "access_token": token}))
    assert token not in str(caught.value)


@pytest.fixture(scope="module")
def key_pair() -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def jwt_auth(**more: Any) -> dict[str, Any]:
    return {
        "flow": "jwt_bearer",
        "client_id": KEY,
        "username": "integration@acme.example",
        **more,
    }


@pytest.mark.parametrize("place", ["file", "variable", "variable with written line breaks"])
def test_a_signed_assertion(
    salesforce: SalesforceSimulator,
    connect: Connect,
    key_pair: tuple[str, str],
    tmp_path: Path,
    place: str,
) -> None:
    private, salesforce.login.app.public_key = key_pair
    made = accounts(salesforce, 1)
    if place == "file":
        (tmp_path / "key.pem").write_text(private)
        auth = jwt_auth(private_key_file="key.pem")
    elif place == "variable":
        auth = jwt_auth(private_key=private)
    else:
        auth = jwt_auth(private_key=private.replace("\n", "\\n"))
    assert ids(connect(auth=auth, folder=tmp_path)) == made


def test_an_assertion_that_is_refused_says_what_to_correct(
    salesforce: SalesforceSimulator, connect: Connect, key_pair: tuple[str, str]
) -> None:
    private, salesforce.login.app.public_key = key_pair
    wrong_user = jwt_auth(private_key=private, username="somebody@acme.example")
    with pytest.raises(SourceError, match=r"hasn't approved this consumer.*Check username"):
        ids(connect(auth=wrong_user))
    wrong_place = jwt_auth(private_key=private, audience="https://elsewhere.example")
    with pytest.raises(SourceError, match=r"Audience validation failed.*Set `audience:`"):
        ids(connect(auth=wrong_place))
    salesforce.clock.advance(3600)
    late = connect(auth=jwt_auth(private_key=private))
    late.now_s = lambda: salesforce.clock().timestamp() - 3600
    with pytest.raises(SourceError, match=r"clock of this machine"):
        ids(late)


@pytest.mark.parametrize("key", ["no key at all", "missing.pem"])
def test_a_private_key_that_cannot_be_used_is_named_but_not_shown(
    connect: Connect, tmp_path: Path, key: str
) -> None:
    given = {"private_key_file": key} if key.endswith("pem") else {"private_key": key}
    with pytest.raises(SourceError, match=r"private key") as caught:
        ids(connect(auth=jwt_auth(**given), folder=tmp_path))
    assert "no key at all" not in str(caught.value)


# --- refresh tokens --------------------------------------------------------------------------


def refresh_auth(token: str = "5Aep861simulatedRefresh0001") -> dict[str, Any]:
    return {
        "flow": "refresh_token",
        "client_id": KEY,
        "client_secret": SECRET,
        "refresh_token": token,
    }


def test_a_rotated_refresh_token_is_kept_for_the_next_run(
    salesforce: SalesforceSimulator, connect: Connect, tmp_path: Path
) -> None:
    salesforce.login.app.rotates = True
    made = accounts(salesforce, 1)
    for _ in range(3):
        storage = SourceStorage(tmp_path)
        assert ids(connect(auth=refresh_auth(), storage=storage)) == made
    kept = tmp_path / "refresh_token.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    (alive,) = salesforce.login.app.refresh_tokens
    assert alive in kept.read_text()
    assert "5Aep861simulatedRefresh0001" not in kept.read_text()


def test_a_new_refresh_token_in_the_project_file_wins_over_the_kept_one(
    salesforce: SalesforceSimulator, connect: Connect, tmp_path: Path
) -> None:
    salesforce.login.app.rotates = True
    made = accounts(salesforce, 1)
    assert ids(connect(auth=refresh_auth(), storage=SourceStorage(tmp_path))) == made
    salesforce.login.app.refresh_tokens = {"5Aep861consentedAnew"}
    fresh = refresh_auth("5Aep861consentedAnew")
    assert ids(connect(auth=fresh, storage=SourceStorage(tmp_path))) == made


def test_a_token_that_ends_while_the_refresh_token_rotates_is_renewed(
    salesforce: SalesforceSimulator, connect: Connect, tmp_path: Path
) -> None:
    salesforce.login.app.rotates = True
    salesforce.login.app.lives_for = 3
    salesforce.rest.batch_cap = 2
    made = accounts(salesforce, 11)
    storage = SourceStorage(tmp_path)
    assert ids(connect(auth=refresh_auth(), storage=storage)) == made
    assert salesforce.count("oauth2") > 2


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"client_secret": "wrong-secret-of-the-app"}, "invalid client credentials.*client_secret"),
        ({"client_id": "wrong-key-of-the-app"}, "client identifier invalid.*consumer key"),
    ],
)
def test_wrong_credentials_stop_the_run_at_once_and_are_not_shown(
    salesforce: SalesforceSimulator, connect: Connect, change: dict[str, str], told: str
) -> None:
    auth = {"flow": "client_credentials", "client_id": KEY, "client_secret": SECRET, **change}
    with pytest.raises(SourceError, match=told) as caught:
        ids(connect(auth=auth))
    assert not any(value in str(caught.value) for value in (SECRET, *change.values()))
    assert salesforce.count("oauth2") == 1


def test_client_credentials_on_the_login_host_are_refused_with_the_way_out(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    with pytest.raises(SourceError, match=r"not supported on this domain.*My Domain host"):
        ids(connect(base_url=salesforce.login_url))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"domain": "login.salesforce.com"}, "My Domain host"),
        ({"domain": "https://acme.my.salesforce.com"}, "without scheme"),
        ({"domain": "acme.lightning.force.com"}, "the API is at"),
        ({}, "needs `domain:`"),
        ({"domain": "acme.my.salesforce.com", "api_version": "30.0"}, "switched off"),
        ({"domain": "acme.my.salesforce.com", "base_url": "http://evil.example"}, "not encrypted"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_sent(
    options: dict[str, str], told: str
) -> None:
    auth = {"flow": "client_credentials", "client_id": KEY, "client_secret": SECRET}
    with pytest.raises(ValidationError, match=told) as caught:
        Quick.Config.model_validate({"auth": auth, **options})
    assert SECRET not in str(caught.value)


def test_a_missing_scope_ends_the_run_after_one_new_token(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.login.app.scopes = frozenset({"refresh_token"})
    with pytest.raises(SourceError, match=r"scope `api`"):
        ids(connect())
    assert salesforce.count("oauth2") == 2


@pytest.mark.parametrize("version", ["68.0", "99"])
def test_a_version_that_the_org_lacks_is_told_with_those_it_has(
    connect: Connect, version: str
) -> None:
    with pytest.raises(SourceError, match=r"no API version .*; it offers .*66\.0, 67\.0"):
        ids(connect(api_version=version))


WAYS_OUT: dict[str, tuple[dict[str, Any], str]] = {
    "a version": ({"api_version": "99.0"}, "Correct `api_version:`."),
    "a key file": ({"auth": jwt_auth(private_key_file="none.pem")}, "Correct `private_key_file:`"),
    "a key": ({"auth": jwt_auth(private_key="no key")}, "Correct the key"),
    "a secret": (
        {"auth": {"flow": "client_credentials", "client_id": KEY, "client_secret": "wrong-one"}},
        "Correct `auth:` or `domain:`.",
    ),
    "the way there": ({"base_url": "http://127.0.0.1:9"}, "the proxy of this machine"),
}


@pytest.mark.parametrize("what", WAYS_OUT)
def test_check_says_what_of_the_way_in_is_wrong(
    connect: Connect, tmp_path: Path, what: str
) -> None:
    options, fix = WAYS_OUT[what]
    (line,) = connect(folder=tmp_path, **options).check()
    assert (line.subject, line.state) == ("login", "error")
    assert fix in line.fix


def test_check_does_not_blame_a_login_that_works(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.refuse("API_CURRENTLY_DISABLED", "API is disabled", 403, on="/limits", times=None)
    (line,) = connect().check()
    assert "API Enabled" in line.message
    assert line.fix == "See the message."


# --- sessions that end -------------------------------------------------------------------------


def test_a_session_that_ends_in_the_middle_of_a_walk_loses_and_doubles_nothing(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.rest.batch_cap = 3
    made = accounts(salesforce, 20)
    salesforce.faults.before(salesforce.tokens.revoke_all, on="GET .*/query/", skip=2, times=2)
    assert ids(connect()) == made


def test_an_expired_locator_goes_on_after_the_last_row(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.rest.batch_cap = 3
    made = accounts(salesforce, 10)
    salesforce.faults.before(salesforce.rest.expire_locators, on="GET .*/query/", skip=1)
    assert ids(connect()) == made


def test_sessions_that_end_before_any_page_are_an_error_and_no_endless_loop(
    salesforce: SalesforceSimulator, connect: Connect
) -> None:
    salesforce.rest.batch_cap = 1
    accounts(salesforce, 3)
    salesforce.faults.answer(
        400,
        b'[{"errorCode":"INVALID_QUERY_LOCATOR","message":"x"}]',
        on="GET .*/query/",
        times=None,
    )
    # Each first page gives a row, so the walk ends: by first pages alone.
    assert len(ids(connect())) == 3
