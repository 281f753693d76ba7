"""The simulated Salesforce: tokens, versions, the allowance of calls."""

from __future__ import annotations

from typing import Any

import requests

from simulators.salesforce import SalesforceSimulator
from simulators.salesforce_client import Client, V


def test_a_token_is_given_for_a_form_only_and_without_expiry(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    app = salesforce.login.app
    form = {
        "grant_type": "client_credentials",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
    }
    url = f"{salesforce.base_url}/services/oauth2/token"
    granted = client.session.post(url, data=form).json()
    assert granted["instance_url"] == salesforce.base_url
    assert "expires_in" not in granted
    assert client.session.post(url, json=form).status_code == 415
    wrong = client.session.post(url, data={**form, "client_secret": "no"})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_client")
    other = client.session.post(url, data={"grant_type": "password"})
    assert other.json()["error"] == "unsupported_grant_type"


def test_the_login_host_knows_no_client_credentials_and_no_data(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    app = salesforce.login.app
    form = {"grant_type": "client_credentials"}
    basic = (app.client_id, app.client_secret)
    login = client.session.post(
        f"{salesforce.login_url}/services/oauth2/token", data=form, auth=basic
    )
    assert login.status_code == 400
    assert login.json() == {
        "error": "invalid_grant",
        "error_description": "request not supported on this domain",
    }
    domain = client.session.post(
        f"{salesforce.base_url}/services/oauth2/token", data=form, auth=basic
    )
    headers = {"Authorization": f"Bearer {domain.json()['access_token']}"}
    for host, status in ((salesforce.base_url, 200), (salesforce.login_url, 401)):
        assert client.session.get(f"{host}{V}/limits", headers=headers).status_code == status


def test_a_rotated_refresh_token_is_good_once(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    app = salesforce.login.app
    app.rotates = True
    [token] = app.refresh_tokens
    form = {
        "grant_type": "refresh_token",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "refresh_token": token,
    }
    url = f"{salesforce.login_url}/services/oauth2/token"
    first = client.session.post(url, data=form)
    assert first.json()["refresh_token"] != token
    again = client.session.post(url, data=form)
    assert again.status_code == 400
    assert again.json()["error_description"] == "expired access/refresh token"


def test_an_assertion_is_checked_in_all_its_claims(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    app = salesforce.login.app
    app.public_key = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    now = int(salesforce.clock().timestamp())
    good = {
        "iss": app.client_id,
        "sub": app.run_as,
        "aud": "https://login.salesforce.com",
        "exp": now + 180,
    }

    def ask(signer: Any = key, **claims: Any) -> requests.Response:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode({**good, **claims}, signer, "RS256"),
        }
        return client.session.post(f"{salesforce.login_url}/services/oauth2/token", data=form)

    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert ask().status_code == 200
    assert ask(aud="https://example.com").json()["error_description"] == (
        "Audience validation failed"
    )
    assert ask(sub="else@acme.example").json()["error_description"] == (
        "user hasn't approved this consumer"
    )
    for refused in (ask(exp=now - 1), ask(exp=now + 3600), ask(iss="other"), ask(signer=stranger)):
        assert refused.status_code == 400


def test_a_lost_session_and_a_missing_scope_have_one_code_and_two_messages(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    client.token = salesforce.issue(calls=1)
    assert client.query("SELECT Id FROM Account").status_code == 200
    assert client.refusal("SELECT Id FROM Account") == (
        401,
        "INVALID_SESSION_ID",
        "Session expired or invalid",
    )
    client.token = salesforce.issue(scopes=frozenset({"id"}))
    status, code, message = client.refusal("SELECT Id FROM Account")
    assert (status, code) == (401, "INVALID_SESSION_ID")
    assert "scopes" in message


def test_retired_and_unknown_versions_differ(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    versions = client.session.get(f"{salesforce.base_url}/services/data/").json()
    assert versions[-1] == {
        "label": "Summer '26",
        "url": "/services/data/v67.0",
        "version": "67.0",
    }
    assert versions[-2]["label"] == "Spring '26"
    assert client.send("GET", "/services/data/v30.0/limits").status_code == 410
    assert client.send("GET", "/services/data/v99.0/limits").status_code == 404


def test_every_call_is_counted_until_none_is_left(
    salesforce: SalesforceSimulator, client: Client
) -> None:
    salesforce.daily_calls = 3
    answer = client.send("GET", f"{V}/limits")
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/3"
    assert answer.json()["DailyApiRequests"] == {"Max": 3, "Remaining": 2}
    client.rows("SELECT Id FROM Account")
    client.rows("SELECT Id FROM Account")
    assert client.refusal("SELECT Id FROM Account") == (
        403,
        "REQUEST_LIMIT_EXCEEDED",
        "TotalRequests Limit exceeded.",
    )
