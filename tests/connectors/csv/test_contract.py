"""The suite that every connector passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics.plugin import ConnectorContext
from crmetrics.testing import ConnectorContract
from crmetrics_csv.connector import CsvConnector
from crmetrics_csv.options import CsvOptions


class TestCsvConnector(ConnectorContract):
    @pytest.fixture
    def connector_factory(self, tmp_path: Path):
        (tmp_path / "opportunities.csv").write_text(
            "id,amount,stage,close_date,created_at,is_won\n"
            "1,10.5,Won,2024-01-31,2024-01-01 10:00,yes\n"
            "2,,Lost,,2024-01-02,no\n",
            encoding="utf-8",
        )
        (tmp_path / "expenses.csv").write_text(
            "expense_date,category,amount\n2024-01-01,overhead,5\n", encoding="utf-8"
        )
        (tmp_path / "accounts.ndjson").write_text(
            '{"id": 1, "created_at": "2024-01-01T00:00:00Z"}\n', encoding="utf-8"
        )
        return lambda: self._connector(tmp_path, path=".")

    @pytest.fixture
    def broken_factory(self, tmp_path: Path):
        return lambda: self._connector(tmp_path, datasets={"accounts": {"file": "none/*.csv"}})

    def _connector(self, directory: Path, **options: object) -> CsvConnector:
        context = ConnectorContext("files", directory, datasets=canonical_datasets())
        return CsvConnector(CsvOptions(**options), context)
