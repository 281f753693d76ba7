"""The books of the warehouse (schema `meta`): syncs, their state, what was delivered and rejected.

Everything here runs inside the transaction of the load that it describes. is_first: the load is the
first of its source and dataset, see `entries`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from crmetrics.datasets import Dataset
from crmetrics.errors import SourceError
from crmetrics.secrets import redact
from crmetrics.warehouse.connection import Connection
from crmetrics.warehouse.intake import AccountAt, Intake, LoadReport, Rejection
from crmetrics.warehouse.schema import table_of
from crmetrics.warehouse.statements import literal

KEPT_REJECTING_SYNCS = 10
"""Rejected rows of this many syncs are kept per source and dataset."""

_INCOMING = "incoming_records"

FLAGS: Mapping[str, str] = {
    "deleted": "is_deleted",
    "test": "is_test",
    "merged": "merged_into_id is not null",
    "spam": "is_spam",
}
"""Name of a row count -> the condition that it counts."""


_ACCOUNT = "@account"
"""Where the account stands beside the connector's state."""


class SyncState(Struct, frozen=True):
    """What the last committed read of a dataset left for the next one.

    state: the connector's own. columns: canonical columns that all stored rows cover.
    fingerprint: of the mapping they were read with. watermark: changes up to here are loaded.
    account: whose records they are; None = it was not named.
    """

    state: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    fingerprint: str = ""
    covers_from: date | None = None
    watermark: datetime | None = None
    synced_at: datetime | None = None
    account: AccountAt | None = None

    @property
    def exists(self) -> bool:
        """False before the first committed read."""
        return self.synced_at is not None


def instant(microseconds: int | None) -> datetime | None:
    """An instant from what `epoch_us` gives; free of the session zone."""
    if microseconds is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def entries(connection: Connection) -> set[tuple[str, str]]:
    """(source, dataset) of all that state, columns or counts are known of; of others there is
    nothing to read and nothing to take out, which is a third of the statements of a first load."""
    rows = connection.rows(
        """select source, dataset from meta.sync_state
        union select source, dataset from meta.delivered_columns
        union select source, dataset from meta.row_counts"""
    )
    return {(str(source), str(dataset)) for source, dataset in rows}


def _forget(connection: Connection, table: str, source: str, dataset: str) -> None:
    connection.execute(
        f"delete from meta.{table} where source = ? and dataset = ?", [source, dataset]
    )


def forget(connection: Connection, source: str, dataset: str) -> None:
    """The source gives the dataset no longer, and has no rows of it: as if it never had."""
    for table in ("sync_state", "delivered_columns", "row_counts"):
        _forget(connection, table, source, dataset)


def has_failed_likewise(connection: Connection, failed: LoadReport) -> bool:
    """True when the last sync of a dataset failed for the same reason."""
    return bool(
        connection.scalar(
            "select arg_max(status = 'failed' and message = $message, started_at) from meta.syncs "
            "where source = $source and dataset = $dataset",
            {"source": failed.source, "dataset": failed.dataset, "message": _message(failed)},
        )
    )


def notices_before(connection: Connection, report: LoadReport) -> tuple[str, ...]:
    """What was noticed by the sync of a dataset before this one."""
    text = connection.scalar(
        "select arg_max(notices::varchar, started_at) from meta.syncs "
        "where source = $source and dataset = $dataset and sync_id <> $sync_id",
        {"source": report.source, "dataset": report.dataset, "sync_id": report.sync_id},
    )
    return tuple(json.loads(text)) if text else ()


def read_state(connection: Connection, source: str, dataset: str) -> SyncState:
    rows = connection.rows(
        "select state::varchar, columns, fingerprint, covers_from, epoch_us(watermark), "
        "epoch_us(synced_at) from meta.sync_state where source = ? and dataset = ?",
        [source, dataset],
    )
    if not rows:
        return SyncState()
    text, columns, fingerprint, covers_from, watermark, synced_at = rows[0]
    state = json.loads(text) if text else {}
    account = _account(state.pop(_ACCOUNT, None))
    return SyncState(
        state,
        tuple(columns or ()),
        fingerprint or "",
        covers_from,
        instant(watermark),
        instant(synced_at),
        account,
    )


def _account(kept: Any) -> AccountAt | None:
    return AccountAt(kept["name"], kept["at"]) if kept else None


def last_account(connection: Connection, source: str) -> AccountAt | None:
    """Whose records the source's last loaded dataset holds; None = none was named."""
    rows = connection.rows(
        "select (state -> $name)::varchar from meta.sync_state "
        "where source = $source and (state -> $name) is not null order by synced_at desc limit 1",
        {"name": _ACCOUNT, "source": source},
    )
    return _account(json.loads(rows[0][0])) if rows else None


def write_state(
    connection: Connection, report: LoadReport, intake: Intake, *, is_first: bool
) -> None:
    """Keep what the next read needs; a state that the connector did not save stays."""
    state, account = intake.state, intake.account
    if not is_first:
        former = read_state(connection, report.source, report.dataset)
        state = former.state if state is None else state
        account = account or (None if intake.is_of_nobody else former.account)
        _forget(connection, "sync_state", report.source, report.dataset)
    connection.execute(
        "insert into meta.sync_state values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            report.source,
            report.dataset,
            _as_json({**(state or {}), **({_ACCOUNT: asdict(account)} if account else {})}),
            sorted(intake.columns),
            intake.fingerprint,
            intake.covers_from,
            intake.watermark,
            report.started_at,
            report.sync_id,
        ],
    )


def _as_json(state: Mapping[str, Any]) -> str:
    def plain(value: object) -> str:
        if isinstance(value, (date, datetime)):
            return value.isoformat()
        raise TypeError(f"{type(value).__name__} is none of them")

    try:
        return json.dumps(state, default=plain, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise SourceError(
            f"the connector saved a state that is not text, numbers, lists and maps: {exc}. "
            "This is a defect of the connector."
        ) from exc


def write_sync(connection: Connection, report: LoadReport, run_id: str) -> None:
    """One row of `meta.syncs`, for a load that is committed or for one that failed."""
    connection.execute(
        """insert into meta.syncs by name select
            $sync_id as sync_id, $run_id as run_id, $source as source, $dataset as dataset,
            $started_at as started_at, $finished_at as finished_at, $status as status,
            $is_full as is_full, $fetched as fetched, $landed as landed, $inserted as inserted,
            $updated as updated, $outdated as outdated, $rejected as rejected,
            $duplicates as duplicates, $deleted as deleted, $replaced as replaced,
            $message as message, $notices::json as notices, $columns::varchar[] as columns""",
        {
            "run_id": run_id,
            "message": _message(report),
            "notices": json.dumps([redact(notice) for notice in report.notices]),
            "columns": list(report.columns),
            **{name: getattr(report, name) for name in _SYNC_FIELDS},
        },
    )


def _message(report: LoadReport) -> str | None:
    return redact(str(report.error)) if report.error else None


_SYNC_FIELDS = (
    "sync_id",
    "source",
    "dataset",
    "started_at",
    "finished_at",
    "status",
    "is_full",
    "fetched",
    "landed",
    "inserted",
    "updated",
    "outdated",
    "rejected",
    "duplicates",
    "deleted",
    "replaced",
)


# --- what was delivered ----------------------------------------------------------------------


def delivered_columns(connection: Connection, source: str, dataset: str) -> frozenset[str]:
    """The columns that this source has ever filled."""
    rows = connection.rows(
        'select "column" from meta.delivered_columns where source = ? and dataset = ?',
        [source, dataset],
    )
    return frozenset(str(name) for (name,) in rows)


def write_delivered(
    connection: Connection,
    source: str,
    dataset: str,
    columns: Iterable[str],
    covered: Iterable[str],
    *,
    is_first: bool,
) -> None:
    """Replace the columns that this source has filled.

    covered: those that it is still asked for; the values of others are kept, but nobody may compute
    with them, because they follow no change any more.
    """
    if not is_first:
        _forget(connection, "delivered_columns", source, dataset)
    connection.execute(
        """insert into meta.delivered_columns
        select $dataset, $source, name, list_contains($covered::varchar[], name)
        from (select unnest($columns::varchar[]) as name)""",
        {
            "dataset": dataset,
            "source": source,
            "columns": sorted(columns),
            "covered": sorted(covered),
        },
    )


def count_rows(connection: Connection, source: str, dataset: Dataset, *, is_first: bool) -> int:
    """Count the rows of this source, by flag, keep the counts, and return the number of rows."""
    flags = ", ".join(
        f"count(*) filter (where {condition})" if condition.split()[0] in dataset else "0"
        for condition in FLAGS.values()
    )
    if not is_first:
        _forget(connection, "row_counts", source, dataset.name)
    counted = connection.scalar(
        f"insert into meta.row_counts select $dataset, $source, count(*), {flags} "
        f"from {table_of(dataset.name)} where source = {literal(source)} "
        'returning "rows"',
        {"dataset": dataset.name, "source": source},
    )
    return int(counted)


# --- what was set aside ----------------------------------------------------------------------


def write_rejections(
    connection: Connection, report: LoadReport, rejections: Iterable[Rejection]
) -> None:
    """Keep rejected records with their reason and place; secrets are masked."""
    import pyarrow as pa

    kept = list(rejections)
    if not kept:
        return
    table = pa.table(
        {
            "place": [redact(rejection.place) for rejection in kept],
            "reason": [redact(rejection.reason) for rejection in kept],
            "record": [redact(rejection.record) for rejection in kept],
        }
    )
    connection.register(_INCOMING, table)
    try:
        connection.execute(
            "insert into meta.rejected_rows select $sync_id, $source, $dataset, "
            f"place, reason, record, $rejected_at from {_INCOMING}",
            rejection_values(report),
        )
    finally:
        connection.unregister(_INCOMING)


def rejection_values(report: LoadReport) -> dict[str, Any]:
    """The columns that all rejected rows of a sync share."""
    return {
        "sync_id": report.sync_id,
        "source": report.source,
        "dataset": report.dataset,
        "rejected_at": report.started_at,
    }


def forget_old_rejections(connection: Connection, source: str, dataset: str) -> None:
    """Keep the rejected rows of the last syncs only: a job that runs for years must not grow."""
    connection.execute(
        f"""delete from meta.rejected_rows
        where source = $source and dataset = $dataset and sync_id not in (
            select sync_id from meta.rejected_rows
            where source = $source and dataset = $dataset
            group by sync_id order by max(rejected_at) desc limit {KEPT_REJECTING_SYNCS})""",
        {"source": source, "dataset": dataset},
    )
