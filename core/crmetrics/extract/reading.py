"""Reading a source into the warehouse: how far back, which columns, one dataset after another."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from crmetrics.datasets import Dataset
from crmetrics.errors import PLUGIN_ERRORS, SourceError, defect_of_connector, did_you_mean
from crmetrics.extract.request import Request
from crmetrics.options import DatasetOptions, SourceOptions
from crmetrics.plugin import Connector, Supply
from crmetrics.warehouse.fields import FieldMapper
from crmetrics.warehouse.intake import Intake, LoadReport
from crmetrics.warehouse.load import LoadSession
from crmetrics.warehouse.registry import SyncState

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_FORGOTTEN = (
    "what only earlier reads had seen of it (stays, first dates) is not known any longer, because "
    "its rules changed."
)

Progress = Callable[[str, str, int], None]
"""Called after each batch with source, dataset and the number of records so far."""


def sync(
    session: LoadSession,
    connector: Connector,
    source: str,
    requests: Mapping[str, Sequence[str]],
    *,
    options: SourceOptions,
    datasets: Mapping[str, Dataset],
    now: datetime,
    run_id: str = "",
    full: bool = False,
    observer: Any = None,
    progress: Progress | None = None,
    supplies: Sequence[Supply] | None = None,
) -> list[LoadReport]:
    """Read these datasets (name -> columns wanted) of one source and load each whole or not at all.

    A dataset that fails does not stop the others: its report has `failed` set and the SourceError
    in `error`, and the warehouse keeps what it had. now: the start of the run. full: read
    everything again. observer: has `crmetrics_dataset_loaded`, told of each committed dataset.
    supplies: what the connector gives, where the caller has asked it already.
    The caller closes the connector.
    Raises WarehouseError or QueryError when the warehouse itself fails.
    """
    reader = _Reader(session, connector, source, options, now, run_id, full, supplies)
    reports = []
    planned = [reader.plan(datasets[name], columns) for name, columns in requests.items()]
    reader.prepare([read.request for read in planned if reader.supplies(read.request.dataset)])
    for read in planned:
        name = read.request.dataset.name
        report = reader.read(read, progress)
        reports.append(report)
        if observer is not None and not report.failed:
            observer.crmetrics_dataset_loaded(
                run_id=run_id, source=source, dataset=name, report=report
            )
    return reports


@dataclass(frozen=True)
class _PlannedRead:
    """One read, decided; it is loaded when its turn comes."""

    request: Request
    mapper: FieldMapper


@dataclass
class _Reader:
    session: LoadSession
    connector: Connector
    source: str
    options: SourceOptions
    now: datetime
    run_id: str
    full: bool
    offered: Sequence[Supply] | None = None

    def __post_init__(self) -> None:
        self._supplies: dict[str, Supply] = {}
        self._failure: SourceError | None = None
        try:
            supplies = self.connector.datasets() if self.offered is None else self.offered
            self._supplies = {supply.dataset: supply for supply in supplies}
        except SourceError as exc:
            self._failure = exc
        except PLUGIN_ERRORS as exc:
            self._failure = SourceError(defect_of_connector(exc))
            self._failure.__cause__ = exc

    @property
    def timezone(self) -> str:
        return self.options.timezone or self.connector.context.timezone

    def supplies(self, dataset: Dataset) -> bool:
        return dataset.name in self._supplies

    def prepare(self, requests: Sequence[Request]) -> None:
        """Let the connector begin; what it cannot do here, its reads meet again."""
        try:
            self.connector.prepare(requests)
        except PLUGIN_ERRORS as exc:
            log.warning("source %r: %s", self.source, defect_of_connector(exc))

    def plan(self, dataset: Dataset, columns: Sequence[str]) -> _PlannedRead:
        """How far back to read which columns."""
        name = dataset.name
        former = self.session.state(self.source, name)
        supply = self._supplies.get(name, Supply(name, ()))
        own = self.options.datasets.get(name, DatasetOptions())
        reach = _reach(dataset, supply, own, former, columns)
        mapping = _entries(own, reach)
        # Columns that come in beside those of the last read change none of its rules.
        rules = self._fingerprint(name, _entries(own, former.columns))
        is_redefined = former.exists and not _is_same(former.fingerprint, rules)
        is_moved = former.exists and former.fingerprint != rules
        begins_anew = self.full or is_redefined
        is_ahead = former.watermark is not None and former.watermark > self.now
        is_wider = former.exists and not set(reach) <= set(former.columns)
        anew = begins_anew or is_moved or is_wider or is_ahead
        since, until, watermark = self._window(supply, former, anew)
        intake = Intake(
            columns=reach,
            started=self.now,
            timezone=self.timezone,
            run_id=self.run_id,
            is_full=anew,
            replaces=not supply.keeps and (anew or (supply.incremental and since is None)),
            may_replace=not (supply.keeps or supply.incremental or former.state),
            former_rules=is_redefined,
            begins_anew=self.full,
            fingerprint=self._fingerprint(name, mapping),
            covers_from=own.covers_from,
            watermark=watermark,
        )
        if supply.incremental and former.exists and not self.full:
            _tell_why(intake, former, is_redefined=is_redefined, is_ahead=is_ahead)
        mapper = FieldMapper(dataset, self.timezone)
        request = Request(
            dataset,
            intake,
            mapper,
            mapping=mapping,
            since=since,
            until=until,
            state=former.state,
            account=former.account if former.exists else self.session.account(self.source),
            stored=partial(self.session.stored, self.source, name) if former.exists else None,
            goes_on=not begins_anew,
            forgotten=_FORGOTTEN if is_redefined and supply.incremental else "",
        )
        return _PlannedRead(request, mapper)

    def read(self, planned: _PlannedRead, progress: Progress | None) -> LoadReport:
        request, name = planned.request, planned.request.dataset.name
        is_given = self._failure is not None or name in self._supplies
        if option := "" if is_given else self._asked(self.connector.left_out, name):
            request.intake.leave_out(option)
        tell = None if progress is None else lambda rows: progress(self.source, name, rows)
        return self.session.try_load(
            name,
            self.source,
            self._batches(request),
            request.intake,
            mapper=planned.mapper,
            progress=tell,
        )

    def _batches(self, request: Request) -> Iterator[pa.RecordBatch]:
        if self._failure is not None:
            raise self._failure
        if request.intake.is_left_out:
            return
        name = request.dataset.name
        if name not in self._supplies:
            known = ", ".join(sorted(self._supplies)) or "nothing"
            hint = did_you_mean(name, self._supplies)
            raise SourceError(f"the source gives no {name}; it gives {known}. {hint}".rstrip())
        yield from self.connector.read(request)

    def _window(
        self, supply: Supply, former: SyncState, anew: bool
    ) -> tuple[datetime | None, datetime | None, datetime | None]:
        """since, until and the next watermark of an incremental source; None for all others.

        The watermark is the upper bound of what was read for certain, not the moment of reading:
        with a long hold-back and a short overlap the changes between the two would be lost.
        """
        if not supply.incremental:
            return None, None, None
        watermark = self.now - self.options.hold_back
        if anew or former.watermark is None:
            return None, None, watermark
        since = former.watermark - self.options.overlap
        return since, max(watermark, since), watermark

    def _fingerprint(self, dataset: str, mapping: Mapping[str, str]) -> str:
        """Changes when the same source records would give other rows: the rules, and the time zone
        that texts without one are read in."""
        parts = [self.connector.name, sorted(mapping.items())]
        definition = self._asked(self.connector.definition, dataset)
        if definition:
            parts.append(definition)
        rules = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        return f"{rules} {self.timezone}"

    def _asked(self, question: Callable[[str], str], dataset: str) -> str:
        """What the connector says of a dataset; one that breaks over it is not read."""
        try:
            return question(dataset)
        except SourceError as exc:
            self._failure = exc
        except PLUGIN_ERRORS as exc:
            self._failure = SourceError(defect_of_connector(exc))
            self._failure.__cause__ = exc
        return ""


def _is_same(before: str, now: str) -> bool:
    """True when the rules are the same, whatever the time zone: instants that were seen once, in
    history that is told no longer, are those instants in every zone. A mark without a zone is of an
    older version and cannot be compared: all is read whole, and nothing is forgotten for it."""
    return " " not in before or before.split()[:1] == now.split()[:1]


def _entries(options: DatasetOptions, columns: Sequence[str]) -> dict[str, str]:
    """What the project file gives for these columns."""
    return {name: options.columns[name] for name in columns if name in options.columns}


def _tell_why(intake: Intake, former: SyncState, *, is_redefined: bool, is_ahead: bool) -> None:
    """Say why a source that could tell changes is read whole."""
    if is_redefined:
        intake.notice(
            "read whole, because its rules (columns, conditions, options) changed since the last "
            "read."
        )
    elif is_ahead and former.watermark is not None:
        intake.notice(
            "read whole, because the last read was made by a clock that was ahead (it tells of "
            f"changes up to {former.watermark.astimezone(UTC):%Y-%m-%d %H:%M} UTC)."
        )


def _reach(
    dataset: Dataset,
    supply: Supply,
    options: DatasetOptions,
    former: SyncState,
    wanted: Sequence[str],
) -> tuple[str, ...]:
    """The columns to read, in the dataset's order.

    Columns of earlier reads stay in: with the watermark moved on, their changes would never come.
    """
    possible = set(supply.columns) | set(options.columns) | set(dataset.key)
    asked = {*wanted, *former.columns, *dataset.key, "updated_at"}
    return tuple(
        name for name in dataset.column_names if name in asked & possible and name != "source"
    )
