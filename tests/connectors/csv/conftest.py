"""A project folder with files, and what one read of it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics.plugin import CheckResult, ConnectorContext, SourceError
from crmetrics.testing.request import CollectingRequest
from crmetrics_csv.connector import CsvConnector
from crmetrics_csv.options import CsvOptions

DATASETS = canonical_datasets()


@dataclass
class Loaded:
    """What one read gave: its rows, and the request with all that was reported."""

    request: CollectingRequest
    rows: list[dict[str, Any]]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    @property
    def rejected(self) -> list[tuple[str, str]]:
        """(place, record) of what was set aside."""
        return [(entry.place, entry.record) for entry in self.request.rejected]

    @property
    def notices(self) -> str:
        return "\n".join(self.request.notices)

    @property
    def state(self) -> Mapping[str, Any]:
        assert self.request.saved_state is not None
        return self.request.saved_state


class Project:
    """A project folder with one file source, named `files`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def connector(self, *, zone: str = "UTC", **options: Any) -> CsvConnector:
        context = ConnectorContext("files", self.directory, timezone=zone, datasets=DATASETS)
        return CsvConnector(CsvOptions(**options), context)

    def request(
        self,
        connector: CsvConnector,
        dataset: str,
        *,
        columns: Iterable[str] | None = None,
        state: Mapping[str, Any] | None = None,
        is_full: bool = False,
    ) -> CollectingRequest:
        return CollectingRequest(
            DATASETS[dataset],
            columns=columns,
            mapping=connector.files.mapping(dataset),
            state=state,
            is_full=is_full,
            timezone=connector.config.timezone or connector.context.timezone,
        )

    def read(
        self,
        dataset: str,
        *,
        columns: Iterable[str] | None = None,
        state: Mapping[str, Any] | None = None,
        is_full: bool = False,
        **options: Any,
    ) -> Loaded:
        """One read by a new connector; `columns` are in the rows, each null where not filled."""
        connector = self.connector(**options)
        with self.request(
            connector, dataset, columns=columns, state=state, is_full=is_full
        ) as request:
            table = request.collect(connector.read(request))
        return Loaded(request, table.to_pylist())

    def column(self, dataset: str, column: str, text: str, **options: Any) -> list[Any]:
        """One column of a file `DATASET.csv` with this text."""
        self.write(f"{dataset}.csv", text)
        return self.read(dataset, columns=[column], **options).column(column)

    def error(self, dataset: str, **options: Any) -> str:
        """The message of the SourceError that reading raises."""
        with pytest.raises(SourceError) as caught:
            self.read(dataset, **options)
        return str(caught.value)

    def check(self, **options: Any) -> dict[str, CheckResult]:
        """The results of check by dataset name; `folder` and `other files` are subjects too."""
        return {result.subject: result for result in self.connector(**options).check()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
