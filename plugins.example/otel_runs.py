"""Runs as traces, for OpenTelemetry: a span per run, with what was loaded and delivered as events.

Copy this file into the folder `plugins/` of a project and install what sends traces where you
collect them:

    pip install opentelemetry-sdk opentelemetry-exporter-otlp
    export OTEL_SERVICE_NAME=crmetrics OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318

An application that sets up OpenTelemetry itself needs neither: its tracer provider is used. An
observer cannot break a run: what it raises is told once as a warning.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from crmetrics.plugin import Receipt, hookimpl

if TYPE_CHECKING:
    import pyarrow as pa

_running: dict[str, Span] = {}


@cache
def _tracer() -> trace.Tracer:
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        _send_traces()
    return trace.get_tracer("crmetrics")


def _send_traces() -> None:
    """Send spans as they end: a run may be the last thing its process does."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    # The first one wins: an application that has set up its own keeps it.
    trace.set_tracer_provider(provider)


@hookimpl
def crmetrics_run_started(run_id: str, job: str) -> None:
    attributes = {"crmetrics.run_id": run_id, "crmetrics.job": job}
    _running[run_id] = _tracer().start_span(f"run {job}", attributes=attributes)


@hookimpl
def crmetrics_dataset_loaded(run_id: str, source: str, dataset: str, report: Any) -> None:
    _event(run_id, "dataset loaded", source=source, dataset=dataset, fetched=report.fetched,
           landed=report.landed, rejected=report.rejected)  # fmt: skip


@hookimpl
def crmetrics_kpis_computed(run_id: str, results: pa.Table) -> None:
    _event(run_id, "KPIs computed", rows=results.num_rows)


@hookimpl
def crmetrics_delivered(run_id: str, sink: str, receipt: Receipt) -> None:
    _event(run_id, "delivered", sink=sink, destination=receipt.destination, rows=receipt.rows)


@hookimpl
def crmetrics_run_finished(run_id: str, exit_code: int, summary: Mapping[str, Any]) -> None:
    span = _running.pop(run_id, None)
    if span is None:
        return
    span.set_attribute("crmetrics.exit_code", exit_code)
    if exit_code:
        # 4 = delivered on partial data: no failure of the run, but worth a look.
        code = StatusCode.UNSET if exit_code == 4 else StatusCode.ERROR
        span.set_status(Status(code, str(summary.get("error", f"exit code {exit_code}"))))
    span.end()


def _event(run_id: str, name: str, **facts: str | int) -> None:
    span = _running.get(run_id)
    if span is not None:  # a load without a run has none
        span.add_event(name, facts)
