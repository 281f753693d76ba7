"""What a Salesforce source says in the project file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from crmetrics.plugin import ConfigError, DatasetOptions, Options, Secret, SourceOptions, http
from crmetrics_salesforce.expressions import require_sql
from crmetrics_salesforce.rules import RULES, Rule, require_objects

LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")


class ClientCredentials(Options):
    """An app acts as its run-as user: for scheduled jobs. Works on the My Domain host only."""

    flow: Literal["client_credentials"]
    client_id: Secret = Field(description="consumer key of the app")
    client_secret: Secret = Field(description="consumer secret of the app")


class JwtBearer(Options):
    """A certificate in place of a shared secret; needs the extra `crmetrics[salesforce-jwt]`."""

    flow: Literal["jwt_bearer"]
    client_id: Secret = Field(description="consumer key of the app")
    username: str = Field(description="the user that the app acts as")
    private_key: Secret | None = Field(default=None, description="PEM of the private key")
    private_key_file: str | None = Field(
        default=None, description="file with the PEM, relative to the project"
    )
    audience: str | None = Field(
        default=None,
        description="default: https://test.salesforce.com for sandboxes, else "
        "https://login.salesforce.com",
    )

    @model_validator(mode="after")
    def _one_key(self) -> JwtBearer:
        if (self.private_key is None) == (self.private_key_file is None):
            raise ValueError("give either private_key or private_key_file")
        return self


class RefreshToken(Options):
    """A user has allowed the app once; a rotated token is kept under .crmetrics/sources/."""

    flow: Literal["refresh_token"]
    client_id: Secret = Field(description="consumer key of the app")
    client_secret: Secret | None = Field(default=None, description="consumer secret, if it has one")
    refresh_token: Secret = Field(description="the token that the user's consent gave")


class AccessToken(Options):
    """A ready-made session; it ends after hours, so it is for trials only."""

    flow: Literal["access_token"]
    access_token: Secret = Field(description="a session id or access token")


Auth = Annotated[
    ClientCredentials | JwtBearer | RefreshToken | AccessToken, Field(discriminator="flow")
]


class SalesforceDatasetOptions(DatasetOptions):
    """What a dataset may say beside `columns:`. Conditions are SOQL: Salesforce evaluates them, so
    names and addresses that they look at never leave it."""

    is_test: Rule | None = Field(
        default=None,
        description="SOQL condition of test records, such as Email LIKE '%@acme.com'; for a "
        "dataset of several objects one for each: {Task: ..., Event: ...}",
    )
    is_spam: Rule | None = Field(
        default=None, description="SOQL condition of spam (cases), or one for each object"
    )
    where: Rule | None = Field(
        default=None,
        description="SOQL condition of the records to read at all, or one for each object",
    )
    object: str | None = Field(
        default=None, description="another object to read it from; then `columns:` maps all of it"
    )

    @field_validator("columns")
    @classmethod
    def _are_sql(cls, value: dict[str, str]) -> dict[str, str]:
        require_sql(value)
        return value

    def rules(self) -> dict[str, Rule]:
        """The conditions, by their keys."""
        found: dict[str, Rule | None] = {key: getattr(self, key) for key in RULES}
        return {key: rule for key, rule in found.items() if rule}

    def rule(self, key: str, name: str) -> str:
        """The condition under a key for records of an object; empty without one."""
        found = self.rules().get(key, "")
        return found.get(name, "") if isinstance(found, dict) else found


class SalesforceOptions(SourceOptions):
    """An org, how to log in, and how gently to treat it."""

    auth: Auth
    domain: str | None = Field(
        default=None,
        description="My Domain host, such as acme.my.salesforce.com or "
        "acme--uat.sandbox.my.salesforce.com",
    )
    base_url: str | None = Field(
        default=None, description="address in place of the domain: a proxy, a test server"
    )
    api_version: str = Field(
        default="65.0", description="version of the API; never changed silently"
    )
    transport: Literal["auto", "rest", "bulk"] = Field(
        default="auto", description="auto: bulk jobs from bulk_from rows on, else queries"
    )
    bulk_from: int = Field(default=10_000, ge=1, description="rows from which a read is a bulk job")
    page_rows: int = Field(
        default=50_000, ge=1, le=100_000, description="rows of one page of a bulk result"
    )
    bulk_timeout: timedelta = Field(
        default=timedelta(hours=2), description="how long a bulk job may take"
    )
    parallel: int = Field(default=4, ge=1, le=25, description="objects that are asked for at once")
    max_api_usage_percent: float = Field(
        default=80.0, gt=0, le=100, description="share of the org's daily calls that may be used up"
    )
    max_calls_per_run: int | None = Field(
        default=None, ge=1, description="calls that one run may make; default: no limit of its own"
    )
    refresh_formulas: timedelta = Field(
        default=timedelta(days=1),
        description="how old values of formulas, roll-ups and related records may get: they change "
        "without a trace, so their datasets are read whole that often",
    )
    case_statuses: dict[str, Literal["new", "open", "pending", "on_hold", "solved"]] = Field(
        default_factory=dict, description="status of a case: what it means"
    )
    lead_statuses: dict[str, Literal["mql", "sql", "disqualified"]] = Field(
        default_factory=dict, description="status of a lead: what reaching it means"
    )
    datasets: dict[str, SalesforceDatasetOptions] = Field(default_factory=dict)  # type: ignore[assignment]

    def required_extras(self) -> Iterable[str]:
        return ("salesforce-jwt",) if isinstance(self.auth, JwtBearer) else ()

    @field_validator("datasets")
    @classmethod
    def _are_for_known_objects(
        cls, value: dict[str, SalesforceDatasetOptions]
    ) -> dict[str, SalesforceDatasetOptions]:
        require_objects(value)
        return value

    @field_validator("domain")
    @classmethod
    def _is_host(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if "/" in value or ":" in value or "." not in value:
            raise ValueError("expected a host without scheme and path: acme.my.salesforce.com")
        if value.endswith(".lightning.force.com"):
            raise ValueError("this is the host of pages; the API is at MYDOMAIN.my.salesforce.com")
        return value.lower()

    @field_validator("base_url")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                http.require_safe(value)
            except ConfigError as exc:
                raise ValueError(str(exc)) from None
        return value

    @field_validator("api_version", mode="before")
    @classmethod
    def _is_version(cls, value: object) -> str:
        text = str(value).removeprefix("v")
        if not re.fullmatch(r"\d{2,3}(\.0)?", text) or int(text.partition(".")[0]) < 31:
            raise ValueError(
                "expected a version such as 65.0; versions up to 30.0 are switched off"
            )
        return f"{text.partition('.')[0]}.0"

    @model_validator(mode="after")
    def _has_a_place(self) -> SalesforceOptions:
        if self.domain is None and self.base_url is None:
            raise ValueError("needs `domain:`, the My Domain host of the org")
        if self.auth.flow == "client_credentials" and self.domain in LOGIN_HOSTS:
            raise ValueError(
                f"client credentials do not work on {self.domain}: give the org's My Domain host, "
                "such as acme.my.salesforce.com (Setup > My Domain)"
            )
        return self

    @property
    def host_url(self) -> str:
        """Where tokens come from, and data when the token names no other place."""
        return (self.base_url or f"https://{self.domain}").rstrip("/")

    @property
    def is_sandbox(self) -> bool:
        return self.domain is not None and (
            ".sandbox." in self.domain or self.domain == "test.salesforce.com"
        )
