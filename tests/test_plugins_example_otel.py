"""The example that traces runs, against a collector that reads the real protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from simulators.service import Answer, Call, Service, route

EXAMPLE = Path(__file__).resolve().parent.parent / "plugins.example" / "otel_runs.py"
CONFIG = """
version: 1
project: acme
sources:
  crm: {connector: csv, path: data}
metrics: {packs: [sales]}
sinks:
  reports: {sink: files, path: reports, formats: [json]}
jobs:
  daily: {grain: day, kpis: [won_amount], sinks: [reports]}
"""
DEALS = "id,created_at,close_date,is_closed,is_won,amount\n1,2025-12-01,2026-01-05,true,true,100\n"


class Collector(Service):
    """Keeps the spans that are sent to it."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Any] = []

    @route("POST", "/v1/traces")
    def take(self, call: Call) -> Answer:
        request = ExportTraceServiceRequest.FromString(_plain(call))
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        body = ExportTraceServiceResponse().SerializeToString()
        return Answer(200, body, {"Content-Type": "application/x-protobuf"})


def _plain(call: Call) -> bytes:
    import gzip

    is_packed = call.headers.get("content-encoding") == "gzip"
    return gzip.decompress(call.body) if is_packed else call.body


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as service:
        yield service


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "opportunities.csv").write_text(DEALS)
    (tmp_path / "crmetrics.yaml").write_text(CONFIG)
    (tmp_path / "plugins").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "plugins")
    return tmp_path


def run(project: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crmetrics", "-C", str(project), "run", "daily",
         "--date", "2026-01-05"],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
             "OTEL_EXPORTER_OTLP_TIMEOUT": "2"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def facts(found: Any) -> dict[str, Any]:
    return {
        item.key.removeprefix("crmetrics."): item.value.string_value or item.value.int_value
        for item in found.attributes
    }


def test_a_run_is_a_span_with_its_loads_and_deliveries(project: Path, collector: Collector) -> None:
    done = run(project, collector.base_url)
    assert done.returncode == 0, done.stderr
    (span,) = collector.spans
    assert span.name == "run daily"
    assert (facts(span)["job"], facts(span)["exit_code"]) == ("daily", 0)
    assert span.end_time_unix_nano > span.start_time_unix_nano
    events = {event.name: facts(event) for event in span.events}
    assert list(events) == ["dataset loaded", "KPIs computed", "delivered"]
    loaded = events["dataset loaded"]
    assert (loaded["dataset"], loaded["fetched"], loaded["rejected"]) == ("opportunities", 1, 0)
    assert events["delivered"]["destination"] == "reports/daily_2026-01-05.json"


def test_a_run_that_fails_is_an_error_with_its_words(project: Path, collector: Collector) -> None:
    (project / "data" / "opportunities.csv").write_text("id,close_date\n1,not a day\n")
    done = run(project, collector.base_url)
    assert done.returncode == 3
    (span,) = collector.spans
    assert facts(span)["exit_code"] == 3
    assert (span.status.code, span.status.message) == (2, "exit code 3")


def test_a_run_that_cannot_even_compute_ends_its_span(project: Path, collector: Collector) -> None:
    (project / ".crmetrics").mkdir()
    (project / ".crmetrics" / "warehouse.duckdb").write_text("no database at all")
    done = run(project, collector.base_url)
    assert done.returncode == 1
    (span,) = collector.spans
    assert span.status.code == 2
    assert "warehouse.duckdb" in span.status.message


def test_a_collector_that_is_down_breaks_no_run(project: Path) -> None:
    done = run(project, "http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert (project / "reports" / "daily_2026-01-05.json").exists()
