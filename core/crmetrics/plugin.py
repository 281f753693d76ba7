"""Everything a plugin may import: base classes, contracts, errors.

A plugin imports this module and nothing else of crmetrics (its tests also `crmetrics.testing`).

- A **connector** reads a source: subclass `Connector`, offer it with the hook
  `crmetrics_connectors`.
- A **metric pack** is a folder of YAML and SQL: offer `MetricPack(...)` with
  `crmetrics_metric_packs`.
- A **sink** delivers results: subclass `Sink` (`crmetrics.sink`), offer it with
  `crmetrics_sinks`.

Write a hook as a module-level function decorated with `@hookimpl`. What several plugins need is
here too: `http` (sessions with retries), `pause` (a wait that ends when the program is to end),
`export` (tables as CSV, JSON, Parquet), `for_chat` (what of a message a chat channel may see).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pluggy

from crmetrics import export, http
from crmetrics.datasets import Column, ColumnType, Dataset
from crmetrics.errors import (
    ConfigError,
    CrmetricsError,
    Finding,
    SinkError,
    SourceError,
    UnavailableError,
    UnknownOutcomeError,
    UsageError,
    did_you_mean,
)
from crmetrics.message import (
    Breakdown,
    KpiLine,
    Message,
    Restated,
    SegmentLine,
    Tone,
    by_urgency,
    for_chat,
    restatement_text,
)
from crmetrics.options import DatasetOptions, Options, Slot, SourceOptions
from crmetrics.secrets import Secret, redact
from crmetrics.sink import CheckResult, Delivery, Receipt, Settled, Sink, SinkContext
from crmetrics.stopping import pause
from crmetrics.storage import SourceStorage

if TYPE_CHECKING:
    import pyarrow as pa

    from crmetrics import chart, chat, layout

__all__ = [
    "API_VERSION",
    "Breakdown",
    "CheckResult",
    "Column",
    "ColumnType",
    "ConfigError",
    "Connector",
    "ConnectorContext",
    "CrmetricsError",
    "Dataset",
    "DatasetOptions",
    "Delivery",
    "Estimate",
    "Finding",
    "KpiLine",
    "Message",
    "MetricPack",
    "Options",
    "ReadRequest",
    "Receipt",
    "Restated",
    "Secret",
    "SegmentLine",
    "Settled",
    "Sink",
    "SinkContext",
    "SinkError",
    "Slot",
    "SourceError",
    "SourceOptions",
    "SourceStorage",
    "Supply",
    "Tone",
    "UnavailableError",
    "UnknownOutcomeError",
    "UsageError",
    "by_urgency",
    "chart",
    "chat",
    "did_you_mean",
    "export",
    "for_chat",
    "hookimpl",
    "http",
    "layout",
    "pause",
    "redact",
    "restatement_text",
]

API_VERSION = 1
"""Major version of this contract. A plugin module may state `crmetrics_api_version = 1`; a plugin
that states another major version is refused with a message that names both."""

_WHERE_USED = frozenset({"chart", "chat", "layout"})


def __getattr__(name: str) -> Any:
    """What only chat sinks need is imported when one of them does."""
    if name in _WHERE_USED:
        return import_module(f"crmetrics.{name}")
    raise AttributeError(f"module 'crmetrics.plugin' has no attribute {name!r}")


hookimpl = pluggy.HookimplMarker("crmetrics")
"""Marks a function as an implementation of one of the hooks in `crmetrics.hookspecs`."""


# --- connectors ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Supply:
    """What a connector can give for one dataset.

    columns: canonical columns it can fill. incremental: `read` honours `request.since`.
    deletes: removed records are reported. selects_columns: only `request.columns` are fetched.
    keeps: the source forgets (logins of 90 days), the warehouse does not: records that no longer
    come stay, also when all is read anew; when the rules of the dataset change, a notice counts
    those. follows_days: for how many days what becomes of a row
    (opens and clicks of a send) still changes it; None = for good. KPIs that look further are told.
    """

    dataset: str
    columns: tuple[str, ...]
    incremental: bool = False
    deletes: bool = False
    selects_columns: bool = False
    keeps: bool = False
    follows_days: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a read would cost. calls: requests against the service's allowance. basis: on what the
    number rests, in a few words (`200,000 rows by bulk`)."""

    calls: int
    basis: str = ""


@dataclass(frozen=True, slots=True)
class ConnectorContext:
    """What a connector knows about the project that it serves.

    timezone: zone of instants that carry none. currency: reporting currency.
    project_dir: relative paths of the config are relative to it. storage: what must survive a run
    that is killed (tokens that rotate, jobs to resume); the state of a dataset belongs elsewhere.
    trial: a dataset's name and its `columns:` -> a request that loads nothing, for `check`: what
    the entries read (`fields_of`), and whether they can be computed (`evaluate`).
    """

    source: str
    project_dir: Path
    timezone: str = "UTC"
    currency: str = "USD"
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    storage: SourceStorage = field(default_factory=SourceStorage)
    trial: Callable[[str, Mapping[str, str]], AbstractContextManager[ReadRequest]] | None = None


class ReadRequest(Protocol):
    """What the engine asks of `Connector.read`, and how the connector reports back.

    Everything reported here is committed in the same transaction as the rows, or not at all.
    """

    @property
    def dataset(self) -> Dataset:
        """The dataset to read, extensions of plugins included."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The canonical columns wanted; always holds the key, and `updated_at` if there is one."""

    @property
    def mapping(self) -> Mapping[str, str]:
        """`columns:` of the project file for this dataset: canonical column -> source field or SQL
        expression over the source's fields."""

    @property
    def source_fields(self) -> tuple[str, ...]:
        """The source fields that `mapping` reads, for connectors that select columns."""

    @property
    def since(self) -> datetime | None:
        """Lower bound (inclusive) of the change time for an incremental read; None = everything."""

    @property
    def until(self) -> datetime | None:
        """Upper bound (exclusive) of the change time; None = no bound."""

    @property
    def started(self) -> datetime:
        """When the run began; the present of everything that the connector decides."""

    @property
    def is_full(self) -> bool:
        """True when everything is read anew: by `sync --full`, because rules, columns or the time
        zone of the dataset changed, or because the last read went by a clock that was ahead.
        Ignore what `state` says of how far the last read came."""

    @property
    def begins_anew(self) -> bool:
        """True when the user asked for everything again (`sync --full`): what the source gives no
        more is lost with their consent."""

    @property
    def state(self) -> Mapping[str, Any]:
        """What `save_state` was given by the last read that was committed; empty at first."""

    def evaluate(self, batch: pa.RecordBatch, columns: Sequence[str] = ()) -> pa.RecordBatch:
        """The mapped columns (all, or those named) as SQL over the fields of `batch`, cast to
        their canonical types. A naive timestamp is read in the zone of the source.

        Raises SourceError that names the column, the expression and an offending value."""

    def fields_of(self, fields: Mapping[str, str], columns: Sequence[str] = ()) -> tuple[str, ...]:
        """The source fields behind the wanted columns (all, or those named), each once: what to
        request.

        fields: the connector's own mapping, canonical column -> source field or SQL expression over
        source fields. The user's `mapping` comes before it."""

    def derive(
        self, batch: pa.RecordBatch, fields: Mapping[str, str], columns: Sequence[str] = ()
    ) -> pa.RecordBatch:
        """The wanted columns (all, or those named) out of a batch of source fields: the user's
        `mapping` first, else `fields`; cast to their canonical types. A naive timestamp is read in
        the zone of the source.

        Raises SourceError that names the column, the expression and an offending value."""

    def name_account(
        self, account: str | None, *, at: str | None = None, is_required: bool = False
    ) -> bool:
        """Name whose records these are (`portal 1234`); call it before the first rows. It is kept
        with them; None = the source does not tell, then the last one stays. is_required: then it is
        an error, if an earlier read named one.

        at: the address in the project file that says which account is meant, if there is one.
        Another account at another address is what the user asked for.

        True when what is loaded came from this account or nothing tells. False when it came from
        another, or may have, and this read replaces it: after `sync --full`, or at another address.
        Raises SourceError when it came from another, or may have, and would be mixed with this
        one's."""

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Keep a JSON-like value for the next read of this dataset (replaces the former one)."""

    def begin_part(self, part: str) -> None:
        """Rows yielded from now on belong to `part` (a file) and replace what it gave before."""

    def drop_part(self, part: str) -> None:
        """A part is gone: the rows it gave leave the dataset."""

    def reject(self, reason: str, *, where: str, record: str = "") -> None:
        """Set one record aside with its reason and place (`file.csv:17`); it counts as fetched."""

    def delete(self, ids: Sequence[str], *, at: datetime | None = None, of: str = "id") -> None:
        """Mark records deleted that the source no longer has.

        of: the column that holds these ids, when records go with others that they belong to."""

    def retain(self, ids: pa.Array[Any], *, of: str = "id") -> None:
        """Ids that the source still has: once called, stored records with none of all the ids given
        in this read are marked deleted. For sources that do not tell what was removed; call it with
        all ids, in portions, always of one column (`of`, as above; records without stay)."""

    def stored(
        self,
        columns: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        of: str = "id",
        even_former: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """These canonical columns of the rows that earlier reads left, deleted ones included: for
        what a source forgets of records that it still has.

        ids: only rows whose column `of` holds one of them; None = all. A column that was never read
        is null. Nothing comes at a first read, in a full reload, and after a change of the rules of
        the dataset; rows do come when all is read anew for a further column. even_former: in a full
        reload and after such a change too, as the former rules made them: for what must not leave
        without a word."""

    def keep_unseen(self) -> None:
        """Records that this read does not give stay, even when everything is read anew: for what a
        source forgets (logs of some months, a forecast of today). Call it before the first rows."""

    def drop_unseen(self) -> None:
        """Records that this read does not give leave the dataset, whether or not a state is kept:
        for what is always read whole, and for rows that others take the place of."""

    def notice(self, message: str) -> None:
        """Tell the user something that is no error; it is shown and kept with the sync."""


class Connector(ABC):
    """Reads datasets from one source.

    `name` is what `connector:` in the project file says. `Config` is a subclass of `SourceOptions`
    with the other keys of the source (secrets typed as `Secret`). `is_local`: it reads files only,
    so that a first question may load it without being asked, and it is always read whole.
    """

    name: ClassVar[str]
    is_local: ClassVar[bool] = False
    Config: ClassVar[type[SourceOptions]] = SourceOptions

    def __init__(self, config: Any, context: ConnectorContext) -> None:
        self.config = config
        self.context = context

    @abstractmethod
    def datasets(self) -> Sequence[Supply]:
        """What this source can give, as configured; cheap, no network."""

    def check(self) -> Iterable[CheckResult]:
        """Look at credentials, files, permissions and quota; report everything, raise nothing."""
        return ()

    def estimate(
        self, dataset: str, columns: Sequence[str], *, rows: int | None, is_incremental: bool
    ) -> Estimate | None:
        """What reading these columns would cost, for `crmetrics plan`; no network.

        rows: records held of it since the last read; None = never read. None = it costs nothing."""
        return None

    def definition(self, dataset: str) -> str:
        """What beside the mapping decides which records a dataset has and what they say (options,
        the account itself); no network. When it differs from the last load's, the dataset is read
        whole, so that rows of the old rules do not stand beside those of the new."""
        return ""

    def left_out(self, dataset: str) -> str:
        """The option by which the project file leaves out a dataset that `datasets` would give
        otherwise; empty when there is none. What earlier reads gave of it is removed: it would
        stand beside another source's for good. A dataset that is missing without such an option is
        an error, and what was read stays."""
        return ""

    def prepare(self, requests: Sequence[ReadRequest]) -> None:
        """Told all reads of a run before the first one: a chance to start slow jobs side by side.

        Failures wait for `read`, which meets them again; nothing is raised here."""

    @abstractmethod
    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """The records of one dataset as a stream of batches.

        Batches hold canonical columns by name (any subset of `request.columns`, at least the key);
        `source` is added by the engine, types are cast to the canonical ones. Batches of one read
        may differ in their columns. Memory must stay bounded whatever the size of the source.
        Raises SourceError when the source cannot be read whole; then nothing of it is kept."""

    def close(self) -> None:
        """Release connections; called once after the last read."""


# --- metric packs ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MetricPack:
    """A folder of KPI definitions (`*.yaml`) and SQL models (`sql/*.sql`)."""

    name: str
    path: Path
    title: str = ""

    @classmethod
    def from_package(cls, package: str, *, title: str = "") -> MetricPack:
        """The pack that an installed import package holds; its name is the part after
        `crmetrics_`."""
        path = Path(next(iter(import_module(package).__path__)))
        return cls(package.rpartition(".")[2].removeprefix("crmetrics_"), path, title)
