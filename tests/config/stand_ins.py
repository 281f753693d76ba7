"""Stand-ins for plugins, so that these tests know the project file and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from crmetrics.config import ProjectConfig, load_config
from crmetrics.datasets import canonical_datasets
from crmetrics.errors import ConfigError, Finding
from crmetrics.plugin import (
    Connector,
    DatasetOptions,
    Delivery,
    Options,
    ReadRequest,
    Receipt,
    Secret,
    Sink,
    SourceOptions,
    Supply,
)

DATASETS = canonical_datasets()

EXAMPLE_VARIABLES = {
    "SF_CLIENT_ID": "3MVG9-client",
    "SF_CLIENT_SECRET": "salesforce-secret-value",
    "SLACK_WEBHOOK_URL": "https://hooks.example.com/services/slack-secret-value",
}


class _StandInConnector(Connector):
    def datasets(self) -> Sequence[Supply]:
        return ()

    def read(self, request: ReadRequest) -> Iterator[Any]:
        return iter(())


class ClientCredentials(Options):
    flow: Literal["client_credentials"]
    client_id: str
    client_secret: Secret


class AccessToken(Options):
    flow: Literal["access_token"]
    access_token: Secret


class SalesforceOptions(SourceOptions):
    auth: Annotated[ClientCredentials | AccessToken, Field(discriminator="flow")]
    domain: str
    api_version: str = "62.0"
    page_size: int = Field(default=2000, ge=200, le=2000)
    base_url: str | None = None


class SalesforceConnector(_StandInConnector):
    name = "salesforce"
    Config = SalesforceOptions


class CsvDatasetOptions(DatasetOptions):
    file: str | tuple[str, ...] | None = None


class CsvOptions(SourceOptions):
    path: str = "."
    delimiter: str | None = None
    has_header: bool = True
    datasets: dict[str, CsvDatasetOptions] = Field(default_factory=dict)  # type: ignore[assignment]


class CsvConnector(_StandInConnector):
    name = "csv"
    Config: ClassVar[type[SourceOptions]] = CsvOptions


class _StandInSink(Sink):
    def destination(self, delivery: Delivery) -> str:
        return ""

    def preview(self, delivery: Delivery) -> str:
        return ""

    def write(self, delivery: Delivery) -> Receipt:
        return Receipt("")


class DatabaseOptions(Options):
    url: Secret
    table: str = "kpis"
    options: dict[str, Any] = Field(default_factory=dict)


class DatabaseSink(_StandInSink):
    name = "database"
    Config = DatabaseOptions


class FilesOptions(Options):
    path: str
    formats: tuple[Literal["csv", "html", "json"], ...] = ("csv",)


class FilesSink(_StandInSink):
    name = "files"
    Config = FilesOptions


class SlackOptions(Options):
    webhook_url: Secret | None = None
    token: Secret | None = None
    channel: str | None = None

    @field_validator("webhook_url")
    @classmethod
    def _is_https(cls, value: Secret | None) -> Secret | None:
        # Tells more than it should: the reader of the file must not pass it on.
        if value is not None and not value.reveal().startswith("https://"):
            raise ValueError(f"{value.reveal()} is no https address")
        return value

    @model_validator(mode="after")
    def _has_a_way_in(self) -> SlackOptions:
        if not self.webhook_url and not self.token:
            raise ValueError("give webhook_url, or token and channel")
        return self


class SlackSink(_StandInSink):
    name = "slack"
    Config = SlackOptions


CONNECTORS: Mapping[str, type[Connector]] = {
    "csv": CsvConnector,
    "salesforce": SalesforceConnector,
}
SINKS: Mapping[str, type[Sink]] = {
    "database": DatabaseSink,
    "files": FilesSink,
    "slack": SlackSink,
}


class ProjectFolder:
    """A directory with a project file, and what reading it gives."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.connectors = CONNECTORS
        self.sinks = SINKS

    def write(self, content: str | bytes, name: str = "crmetrics.yaml") -> None:
        raw = content if isinstance(content, bytes) else content.encode("utf-8")
        (self.directory / name).write_bytes(raw)

    def load(self, content: str | bytes | None = None, **environ: str) -> ProjectConfig:
        if content is not None:
            self.write(content)
        return load_config(
            self.directory,
            environ=environ,
            connectors=self.connectors,
            sinks=self.sinks,
            datasets=DATASETS,
        )

    def error(self, content: str | bytes | None = None, **environ: str) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.load(content, **environ)
        return caught.value

    def findings(self, content: str | bytes, **environ: str) -> list[Finding]:
        return list(self.error(content, **environ).findings)

    def messages(self, content: str | bytes, **environ: str) -> list[str]:
        return [str(finding) for finding in self.findings(content, **environ)]

    def message(self, content: str | bytes, **environ: str) -> str:
        """The only finding, as it is shown."""
        messages = self.messages(content, **environ)
        assert len(messages) == 1, messages
        return messages[0]
