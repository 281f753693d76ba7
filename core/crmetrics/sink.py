"""The contract of sinks: what one is given, what it answers, what it must keep.

Plugins import all of it from `crmetrics.plugin`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from crmetrics.message import Message, Restated
from crmetrics.options import Options

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of `crmetrics check`: what was looked at, whether it is fine, and the fix if not.

    lacks: what the source cannot give because of it: dataset -> canonical columns, none = the whole
    dataset. crmetrics adds the KPIs that this puts out of reach.
    """

    subject: str
    state: Literal["ok", "warning", "error"]
    message: str
    fix: str = ""
    lacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink knows about the project that it serves."""

    name: str
    project_dir: Path
    project: str = ""
    timezone: str = "UTC"
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of a delivery, kept in the ledger.

    destination: where it went, without secrets (a path, a table, a channel). reference: what finds
    it again (a message `ts`, a checksum). details: further JSON-like facts. missing: what of it did
    not arrive, why and what to do, in whole sentences: it counts as delivered, but the run ends
    with 5, and the next one asks the sink to finish it (`Delivery.is_resumed`), or sends it to the
    readers who do not have it; for a sink that is not idempotent. made: names, as in "the table",
    what holds several periods there, was not there and was made for this delivery: if there had
    been others, people are told.
    """

    destination: str
    rows: int = 0
    reference: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""
    made: str = ""


def _keep_nothing(receipt: Receipt) -> None:
    """A delivery outside a ledger."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a sink is given: results as Arrow (long form, see `crmetrics.results`) and a message.

    key: the same for every repeat of one (job, period, definitions, sink, destination); an
    idempotent sink replaces what it delivered under it.
    previous: the receipt (as a dict) of what is at the destination under the key; empty when
    nothing is. is_resumed: that delivery was cut short; finish it. restated: figures that were
    delivered and have changed since. told_by: the run that delivered them; empty when none did.
    arrived: the receipt of what surely arrived before the attempt that `settle` is asked about.
    readers: whom it goes to, of `Sink.readers`; empty = all.
    rows_id: names the results, whatever run computed them; empty unless the sink `sends_rows`.
    has_new_rows: rows that were delivered read differently now, be it in no figure of `restated`.
    goals_told: KPI -> the state of its goal that its owner knows from it.
    keep: call it in the middle of a delivery of several steps with what is there so far; after a
    kill the next run gets it as `previous`.
    """

    key: str
    run_id: str
    job: str
    results: pa.Table
    message: Message
    period_start: date
    period_end: date
    grain: str
    is_partial: bool = False
    previous: Mapping[str, Any] = field(default_factory=dict)
    arrived: Mapping[str, Any] = field(default_factory=dict)
    is_resumed: bool = False
    restated: tuple[Restated, ...] = ()
    told_by: str = ""
    readers: tuple[str, ...] = ()
    rows_id: str = ""
    has_new_rows: bool = False
    goals_told: Mapping[str, str] = field(default_factory=dict)
    keep: Callable[[Receipt], None] = field(default=_keep_nothing, repr=False, compare=False)

    @property
    def is_correction(self) -> bool:
        """Whether what was delivered reads differently now: a figure, or a row that went along."""
        return bool(self.restated) or self.has_new_rows


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an attempt that ended without an answer.

    state: `arrived` (then `receipt` finds it), `absent`, or `unknown` when the destination cannot
    be asked; then the sink's policy decides.
    """

    state: Literal["arrived", "absent", "unknown"]
    receipt: Receipt | None = None


class Sink(ABC):
    """Delivers the results of a job.

    is_idempotent: a repeat with the same key leaves one copy. `Config` is a subclass of `Options`.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Options]] = Options
    is_idempotent: ClassVar[bool] = False

    def __init__(self, config: Any, context: SinkContext) -> None:
        self.config = config
        self.context = context

    @abstractmethod
    def destination(self, delivery: Delivery) -> str:
        """Where this delivery would go, without secrets; no side effect."""

    def destination_id(self, delivery: Delivery) -> str:
        """What tells the destination from every other one; it is never shown, and hashed before it
        is kept. Of interest where `destination` leaves a part out, such as a secret address: what
        was delivered there would else be taken for delivered elsewhere.
        """
        return self.destination(delivery)

    def destination_ids_of(self, receipt: Mapping[str, Any]) -> Iterable[str]:
        """All that `destination_id` may be, or was, for the destination of a receipt, where that
        may be named in several ways; none where it is not known by more than one."""
        return ()

    @property
    def readers(self) -> tuple[str, ...]:
        """Whom a delivery reaches one by one, by names that stay the same; empty = whoever looks at
        the destination. Each of them is told what they have not heard (`Delivery.readers`)."""
        return ()

    def reached(self, receipt: Mapping[str, Any]) -> Collection[str]:
        """Those of the `readers` who took the delivery of a receipt."""
        return self.readers

    def check(self) -> Iterable[CheckResult]:
        """Look whether delivery would work; report everything, raise nothing, send nothing."""
        return ()

    @abstractmethod
    def preview(self, delivery: Delivery) -> str:
        """Exactly what `write` would send, as text, without sending it."""

    @abstractmethod
    def write(self, delivery: Delivery) -> Receipt:
        """Deliver once. Raises SinkError when it is not certain that the delivery arrived."""

    def holds_one_period(self, delivery: Delivery) -> bool:
        """Whether this delivery takes the place of another period's at the destination.

        Of interest to an idempotent sink: a table or file that always holds the newest period is
        then not given an earlier one after it, unless somebody asks for that (`--resend`).
        """
        return False

    # --- repeats; only of interest to a sink that is not idempotent -------------------------

    @property
    def repeats_unknown(self) -> bool:
        """Whether an attempt that may have arrived is sent again (at least once) or not."""
        return False

    @property
    def updates_in_place(self) -> bool:
        """Whether a report is brought up to date where it stands, found by its receipt. An attempt
        that is cut short then has the receipt of the delivery before it, for `settle` to find."""
        return False

    @property
    def sends_rows(self) -> bool:
        """Whether the results go along, whatever `shown` leaves of the message: a repeat is then
        due also when only they have changed."""
        return False

    def shown(self, message: Message) -> Message:
        """What of the message this sink shows; by that it is judged whether a repeat is due."""
        return message

    def why_not_again(self, delivery: Delivery) -> str:
        """Why a report that was delivered, and has changed since, is not sent; empty = it is.

        delivery: with `previous` and `restated`.
        """
        return "" if self.is_idempotent else "this sink cannot replace what it sent"

    def settle(self, delivery: Delivery) -> Settled:
        """Ask the destination what became of an attempt that ended without an answer.

        delivery: its `previous` is what the attempt kept; what `arrived` finds is there from before
        and no trace of the attempt. Changes nothing.
        """
        return Settled("unknown")

    def close(self) -> None:
        """Release connections."""
