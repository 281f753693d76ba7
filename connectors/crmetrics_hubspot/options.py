"""What a HubSpot source says in the project file."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field, field_validator, model_validator

from crmetrics.plugin import ConfigError, DatasetOptions, Options, Secret, SourceOptions
from crmetrics_hubspot.kinds import kind_of
from crmetrics_hubspot.paths import DEFAULT_VERSION, require_version

StatusCategory = Literal["new", "open", "pending", "on_hold", "solved"]
LeadStage = Literal["mql_at", "sql_at", "disqualified_at", "converted_at"]


class HubSpotAuth(Options):
    """A static token (service key, private app), or an OAuth app with a refresh token."""

    flow: Literal["token", "refresh_token"] | None = Field(
        default=None, description="default: token when one is given, else refresh_token"
    )
    token: Secret | None = Field(
        default=None, description="service key, or token of a private or static-auth project app"
    )
    client_id: str | None = Field(default=None, description="of the OAuth app")
    client_secret: Secret | None = Field(default=None, description="of the OAuth app")
    refresh_token: Secret | None = Field(default=None, description="of the OAuth app")

    @model_validator(mode="after")
    def _complete(self) -> HubSpotAuth:
        if self.uses_refresh:
            given = (self.client_id, self.client_secret, self.refresh_token)
            if not all(given) or self.token:
                raise ValueError(
                    "expected {flow: refresh_token, client_id, client_secret, refresh_token}, and "
                    "no token"
                )
        elif not self.token or self.refresh_token or self.client_secret:
            raise ValueError(
                "expected {token: ...} with a service key or an app's token, or "
                "{flow: refresh_token, client_id, client_secret, refresh_token}"
            )
        return self

    @property
    def uses_refresh(self) -> bool:
        if self.flow is None:
            return self.token is None and self.refresh_token is not None
        return self.flow == "refresh_token"


class SurveyRule(Options):
    """What the answers of one survey are; needed for custom surveys."""

    type: Literal["nps", "csat", "ces", "review", "resolution"]
    min: float = Field(description="lowest possible answer")
    max: float = Field(description="highest possible answer")


class HubSpotDatasetOptions(DatasetOptions):
    """One dataset; `object` reads it from a custom object."""

    object: str | None = Field(
        default=None,
        description="custom object that holds the dataset: its name, p12345_name or 2-12345; the "
        "columns are then those under `columns:`",
    )
    association_labels: dict[str, str] = Field(
        default_factory=dict,
        description="object: label of the association that counts when a record has several; "
        "default Primary",
    )

    @field_validator("object")
    @classmethod
    def _by_name(cls, value: str | None) -> str | None:
        # What is known of an object, such as what is private in it, is known by its name.
        return None if value is None else kind_of(value)


class HubSpotOptions(SourceOptions):
    """A HubSpot account."""

    auth: HubSpotAuth = Field(description="how the connector signs in")
    base_url: str = Field(
        default="https://api.hubapi.com", description="a proxy or a test server in place of HubSpot"
    )
    api_version: str = Field(
        default=DEFAULT_VERSION, description="HubSpot's API version: a date, or v3 until its end"
    )
    leads_from: Literal["contacts", "leads"] = Field(
        default="contacts",
        description="contacts with a lifecycle date of a lead, or the leads object",
    )
    lead_stages: dict[LeadStage, tuple[str, ...]] = Field(
        default_factory=dict,
        description="stages of the lead pipelines (label or id) whose entry gives mql_at, sql_at, "
        "disqualified_at, converted_at",
    )
    subscriptions_from: Literal["subscriptions", "line_items"] = Field(
        default="subscriptions",
        description="the subscriptions object, or recurring line items of won deals",
    )
    case_messages_from: tuple[Literal["emails", "notes", "conversations"], ...] = Field(
        default=("emails",), description="where the messages of tickets are"
    )
    ticket_stages: dict[str, StatusCategory] = Field(
        default_factory=dict,
        description="ticket stage (label or id): new, open, pending, on_hold or solved",
    )
    surveys: dict[str, SurveyRule] = Field(
        default_factory=dict, description="survey (name or id): its type and its scale"
    )
    test_email_domains: tuple[str, ...] = Field(
        default=(),
        description="contacts and users with such an address are test records; the address is "
        "looked at in the connector and goes no further",
    )
    automated_sources: tuple[str, ...] = Field(
        default=("AUTOMATION_PLATFORM", "SEQUENCES", "MARKETING_EMAIL", "BOT", "CHATFLOWS"),
        description="values of hs_object_source that mean: nobody did this by hand",
    )
    default_close_date: Literal["keep", "ignore"] = Field(
        default="keep",
        description="what becomes of HubSpot's default close date of open deals, the last day of "
        "the month of creation",
    )
    spend_dates: Literal["item", "campaign"] = Field(
        default="item",
        description="spend counts on the day its item was entered, or spread over the campaign",
    )
    email_events: bool = Field(
        default=True,
        description="whether campaign_members come from the log of e-mail events, in which "
        "addresses pass through the connector; false removes what was read of it",
    )
    email_event_days: int = Field(
        default=35,
        ge=1,
        le=400,
        description="for how many days after a send its events count; so far back each read goes",
    )
    refresh_every: timedelta = Field(
        default=timedelta(days=1),
        description="how often an incremental read gives way to a walk through all records, which "
        "finds changed calculated properties, associations and what vanished",
    )
    max_api_usage_percent: float = Field(
        default=80.0,
        gt=0,
        le=100,
        description="share of the account's daily calls that may be used up, by anybody",
    )
    max_calls_per_run: int | None = Field(
        default=None, ge=1, description="calls that one run may make; default: no limit of its own"
    )

    def is_walk_due(self, last: datetime | None, now: datetime) -> bool:
        """Whether `refresh_every` has passed since the last walk, None = there was none. A
        twentieth less counts as well: no two nights begin at the same second."""
        return last is None or now - last >= self.refresh_every * 0.95

    datasets: dict[str, HubSpotDatasetOptions] = Field(default_factory=dict)  # type: ignore[assignment]

    @field_validator("api_version")
    @classmethod
    def _known_version(cls, value: str) -> str:
        try:
            return require_version(value)
        except ConfigError as exc:
            raise ValueError(str(exc)) from None

    def own(self, dataset: str) -> HubSpotDatasetOptions:
        """The options of a dataset."""
        return self.datasets.get(dataset, HubSpotDatasetOptions())
