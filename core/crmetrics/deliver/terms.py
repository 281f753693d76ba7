"""How a delivery is to be made, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from crmetrics.deliver.ledger import DeliveryLedger
from crmetrics.deliver.told import Threshold
from crmetrics.errors import CrmetricsError
from crmetrics.sink import Delivery, Receipt, Sink


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery to one sink.

    skipped: it was delivered before and nothing is to be said again, the destination holds a later
    period, or an old attempt may have arrived and the sink's policy is not to repeat; `note` says
    which. unknown: this attempt, or one of the last hours that is not repeated, may or may not have
    arrived. blocked: the quality gate kept it back. period: label of the period it is about.
    """

    sink: str
    status: Literal["delivered", "previewed", "skipped", "failed", "unknown", "blocked"]
    destination: str = ""
    key: str = ""
    receipt: Receipt | None = None
    preview: str = ""
    error: CrmetricsError | None = None
    note: str = ""
    period: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a delivery is made.

    ledger: where attempts are kept; None = nowhere. dry_run: previews only, nothing is recorded.
    resend: as if nothing had been sent before. blocked: why nothing may be sent; empty = it may.
    is_restatement: the period was reported before, or may have been, and reads differently now; the
    goals count as told as they were. threshold: the smallest change that is told again. recording:
    that of the results (`state.last_recording`). definitions: what the results are computed by, as
    one text (`definitions_text`) that is the same whether or not there are data; None = as their
    rows say. where: the filter of the job, which is a part of its definition. job_sinks: all sinks
    that the job delivers to, by their names; what another one of them brought to the place of one
    is its own, unless that one goes elsewhere by now. moved: of rows that are not those of an
    earlier delivery (by its `recording`), whether they differ by so much that it is told again.
    """

    ledger: DeliveryLedger | None = None
    dry_run: bool = False
    resend: bool = False
    blocked: str = ""
    is_restatement: bool = False
    recording: int | None = None
    definitions: str | None = None
    where: str = ""
    job_sinks: Mapping[str, Sink] = field(default_factory=dict)
    threshold: Threshold = lambda kpi: 0.0
    moved: Callable[[Delivery, int | None], bool] = lambda delivery, recording: True
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
