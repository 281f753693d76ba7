"""Loading: one read of one dataset into the warehouse, all of it or nothing.

Rows, counts, the connector's state and the record of the sync are committed together. A process
that is killed at any moment leaves the last committed load; the next run reads again.
"""

from __future__ import annotations

import logging
import re
import secrets as randomness
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from crmetrics.datasets import Dataset
from crmetrics.errors import CrmetricsError, SourceError, UnavailableError
from crmetrics.secrets import redact
from crmetrics.warehouse import registry
from crmetrics.warehouse.arrivals import Arrivals, Progress
from crmetrics.warehouse.connection import Connection, EngineSettings, Parameters, connect
from crmetrics.warehouse.fields import FieldMapper
from crmetrics.warehouse.intake import AccountAt, Intake, LoadReport
from crmetrics.warehouse.inventory import Inventory, inventory
from crmetrics.warehouse.landing import Landing
from crmetrics.warehouse.schema import (
    evolve,
    prepare_layout,
    require_no_clash,
    stored_tables,
    table_of,
)
from crmetrics.warehouse.statements import literal, quoted

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_AGE = re.compile(r"[\d.,]+ (?:s|min|h|days?) old")


class LoadSession:
    """A session that may write. One at a time: it holds the file until it is closed."""

    def __init__(self, connection: Connection, datasets: Mapping[str, Dataset]) -> None:
        self._connection = connection
        self.datasets = dict(datasets)
        self._changes: dict[str, list[str]] = {}
        require_no_clash(datasets)
        prepare_layout(connection)
        # Rows carry their order of arrival; keeping it in storage too would cost a sixth.
        connection.execute("set preserve_insertion_order = false")
        self._tables = stored_tables(connection)
        self._entries = registry.entries(connection)
        self._follow_datasets()

    def _follow_datasets(self) -> None:
        with self._connection.transaction():
            for schema, name in sorted(self._tables):
                if name not in self.datasets:
                    continue
                notices = evolve(self._connection, self.datasets[name], schema)
                if notices and schema == "crm":
                    self._changes[name] = notices

    # --- loading -----------------------------------------------------------------------------

    def state(self, source: str, dataset: str) -> registry.SyncState:
        """What the last committed read of this dataset left."""
        if (source, dataset) not in self._entries:
            return registry.SyncState()
        return registry.read_state(self._connection, source, dataset)

    def account(self, source: str) -> AccountAt | None:
        """Whose records were loaded last from this source; None where no connector named it."""
        return registry.last_account(self._connection, source)

    def stored(
        self,
        source: str,
        dataset: str,
        columns: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        of: str = "id",
    ) -> Iterator[pa.RecordBatch]:
        """These columns of the rows that the last committed reads left, deleted ones included.

        ids: only rows whose column `of` holds one of them. A column that was never read is null.
        """
        import pyarrow as pa

        model = self.datasets[dataset]
        # Not by the connection itself: it may be storing the rows of the read that asks.
        found = self._connection.committed(
            "select column_name from duckdb_columns() "
            f"where schema_name = 'crm' and table_name = {literal(dataset)}",
            {},
        )
        held = {name for batch in found for name in batch.column(0).to_pylist()}
        if of not in held:
            return
        shown = ", ".join(
            f"{quoted(name) if name in held else 'null'}::{model.column(name).sql_type} "
            f"as {quoted(name)}"
            for name in columns
        )
        sql = f"select {shown} from crm.{quoted(dataset)} where source = {literal(source)}"
        given = {}
        if ids is not None:
            sql += f" and {quoted(of)} in (select id from asked)"
            given["asked"] = pa.table({"id": pa.array(ids, pa.string())})
        yield from self._connection.committed(sql, given)

    def load(
        self,
        dataset: str,
        source: str,
        batches: Iterator[pa.RecordBatch],
        intake: Intake,
        *,
        mapper: FieldMapper | None = None,
        progress: Progress | None = None,
    ) -> LoadReport:
        """Load the batches of one read, with everything that the connector reports meanwhile.

        progress: called with the number of records so far after each batch.
        Raises SourceError, with source and dataset named, when the batches fail or a value does
        not fit its column; the warehouse is then as before, but for a record of the failed sync.
        """
        report = self.try_load(dataset, source, batches, intake, mapper=mapper, progress=progress)
        if report.error is not None:
            raise report.error
        return report

    def try_load(
        self,
        dataset: str,
        source: str,
        batches: Iterator[pa.RecordBatch],
        intake: Intake,
        *,
        mapper: FieldMapper | None = None,
        progress: Progress | None = None,
    ) -> LoadReport:
        """As `load`, but a failure of the source comes back as a report with its `error`.

        Raises WarehouseError or QueryError when the warehouse itself fails.
        """
        model = self.datasets[dataset]
        mapper = mapper or FieldMapper(model, intake.timezone)
        intake.columns = _covered(model, intake.columns)
        intake.notices[:0] = self._changes.pop(dataset, [])
        began = time.monotonic()

        def clock() -> datetime:
            return intake.started + timedelta(seconds=time.monotonic() - began)

        report = _opened(source, dataset, intake)
        arrivals = Arrivals(model, batches, intake, mapper, progress)
        try:
            return self._land(model, arrivals, intake, report, clock)
        except Exception as exc:
            fetched = arrivals.fetched + intake.rejected
            report = replace(report, finished_at=clock(), fetched=fetched)
            failed = _failed(report, intake, _named(exc, source, dataset))
            if isinstance(exc, UnavailableError) and self._is_done_without(model, failed, intake):
                failed = replace(failed, status="absent", notices=tuple(intake.notices))
            self._record_failure(failed, intake.run_id)
            if not isinstance(exc, SourceError):
                raise
            return failed
        finally:
            arrivals.close()
            mapper.close()

    def _land(
        self,
        dataset: Dataset,
        arrivals: Arrivals,
        intake: Intake,
        report: LoadReport,
        clock: Callable[[], datetime],
    ) -> LoadReport:
        table, entry = ("crm", dataset.name), (report.source, dataset.name)
        is_first = entry not in self._entries
        # With a thread per core they would take turns with the connector's, and each begin row
        # groups of its own; a later load has joins to do, which need them all.
        self._connection.leave_a_core(is_first)
        with self._connection.transaction():
            landing = Landing(
                self._connection,
                dataset,
                arrivals,
                intake,
                report,
                is_first=is_first,
                has_table=table in self._tables,
            )
            report = landing.land(clock)
        self._tables.add(table)
        self._entries.add(entry)
        return report

    def _is_done_without(self, dataset: Dataset, failed: LoadReport, intake: Intake) -> bool:
        """True when a dataset that the source does not have was never loaded from it, or is given
        up now: by `--full`, after a sync that failed for the same reason and said so."""
        if not self.state(failed.source, dataset.name).exists:
            return True
        if not (intake.begins_anew and registry.has_failed_likewise(self._connection, failed)):
            return False
        rows = self._give_up(dataset, failed.source)
        intake.notice(f"{rows:,} records of earlier reads have left: the source gives none now.")
        return True

    def _give_up(self, dataset: Dataset, source: str) -> int:
        """Take out all that a source gave of a dataset; how many rows that were."""
        rows = 0
        with self._connection.transaction():
            for schema, name in stored_tables(self._connection):
                if name == dataset.name:
                    rows += self._connection.execute(
                        f"delete from {table_of(name, schema)} where source = {literal(source)}"
                    )
            registry.forget(self._connection, source, dataset.name)
        self._entries.discard((source, dataset.name))
        return rows

    def _record_failure(self, failed: LoadReport, run_id: str) -> None:
        try:
            with self._connection.transaction():
                registry.write_sync(self._connection, failed, run_id)
        except CrmetricsError as exc:
            # The failure itself is on its way to the user; this one would only hide it.
            log.error("the failed sync could not be recorded: %s", exc)

    def news(self, report: LoadReport) -> tuple[str, ...]:
        """The notices of a load that the sync before had not; how old values are is no news."""
        if not report.notices:
            return ()
        told = {_ageless(text) for text in registry.notices_before(self._connection, report)}
        return tuple(text for text in report.notices if _ageless(redact(text)) not in told)

    # --- reading and further tables ----------------------------------------------------------

    def inventory(self) -> Inventory:
        """What the warehouse holds of the session's datasets."""
        return inventory(self._connection, self.datasets)

    def execute(self, sql: str, params: Parameters | None = None) -> int:
        """Run a statement; the number of rows that it changed."""
        return self._connection.execute(sql, params)

    def arrow(self, sql: str, params: Parameters | None = None) -> pa.Table:
        return self._connection.arrow(sql, params)

    def rows(self, sql: str, params: Parameters | None = None) -> list[tuple[Any, ...]]:
        return self._connection.rows(sql, params)

    def scalar(self, sql: str, params: Parameters | None = None) -> Any:
        return self._connection.scalar(sql, params)

    def register(self, name: str, relation: Any) -> None:
        self._connection.register(name, relation)

    def unregister(self, name: str) -> None:
        self._connection.unregister(name)

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside is committed together or not at all; not around `load`."""
        return self._connection.transaction()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_for_load(settings: EngineSettings, datasets: Mapping[str, Dataset]) -> LoadSession:
    """The warehouse for writing; made when there is none. Use it as a context manager.

    The statement timeout of the settings is for queries and does not apply.
    Raises WarehouseLockedError when another process keeps the file, WarehouseError when the file
    cannot be used.
    """
    connection = connect(replace(settings, statement_timeout_s=None), read_only=False)
    try:
        return LoadSession(connection, datasets)
    except BaseException:
        connection.close()
        raise


def _ageless(notice: str) -> str:
    return _AGE.sub("a while old", notice)


def _covered(dataset: Dataset, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The stored columns that a read covers, the key always, in the dataset's order."""
    wanted = {*columns, *dataset.key} - {"source"}
    return tuple(name for name in dataset.column_names if name in wanted)


def _opened(source: str, dataset: str, intake: Intake) -> LoadReport:
    """The report of a load that begins."""
    return LoadReport(
        sync_id=randomness.token_hex(8),
        source=source,
        dataset=dataset,
        started_at=intake.started,
        finished_at=intake.started,
        is_full=intake.is_full,
    )


def _failed(report: LoadReport, intake: Intake, error: CrmetricsError) -> LoadReport:
    """The report of a load that was rolled back: what was fetched, and why nothing was kept."""
    return replace(report, status="failed", notices=tuple(intake.notices), error=error)


def _named(exc: Exception, source: str, dataset: str) -> CrmetricsError:
    """The failure of a load as an error that names source and dataset; its cause is kept."""
    place = f"source {source!r}, dataset {dataset!r}: "
    text = redact(str(exc))
    if not isinstance(exc, SourceError):
        return exc if isinstance(exc, CrmetricsError) else CrmetricsError(f"{place}{exc!r}")
    if text.startswith(place):
        return exc
    error = SourceError(place + text, findings=exc.findings)
    error.__cause__ = exc.__cause__ or exc
    return error
