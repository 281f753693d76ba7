"""The steps of one load, inside its transaction: stage, set aside, settle, write, count, record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from crmetrics.datasets import Dataset
from crmetrics.errors import SourceError, WarehouseError
from crmetrics.warehouse import copies, registry
from crmetrics.warehouse.arrivals import Arrivals
from crmetrics.warehouse.connection import Connection
from crmetrics.warehouse.feed import FEED, feed
from crmetrics.warehouse.intake import KEPT_REJECTIONS, Intake, LoadReport
from crmetrics.warehouse.schema import (
    HIDDEN_COLUMNS,
    complete_table,
    create_table,
    table_columns,
)
from crmetrics.warehouse.statements import literal, quoted, quoted_list
from crmetrics.warehouse.target import STAGED, Target
from crmetrics.warehouse.upsert import Written, upsert

_GONE = "incoming_deletions"
_FEW = 20
_NOTICEABLE = 0.1
"""From so many records, and from this share of all that stood, it is told that they left."""


class Landing:
    """One load. `land` runs it; the caller holds the transaction and rolls back when it raises.

    is_first: the books know nothing of this source and dataset. has_table: the dataset has a table.
    """

    def __init__(
        self,
        connection: Connection,
        dataset: Dataset,
        arrivals: Arrivals,
        intake: Intake,
        report: LoadReport,
        *,
        is_first: bool,
        has_table: bool,
    ) -> None:
        self._connection = connection
        self._dataset = dataset
        self._arrivals = arrivals
        self._intake = intake
        self._report = report
        self._source = report.source
        self._is_first = is_first
        self._filled: frozenset[str] = frozenset()
        if not is_first:
            self._filled = registry.delivered_columns(connection, report.source, dataset.name)
        self._stored = tuple(table_columns(connection, dataset.name)) if has_table else ()
        # Counted, not taken from the books: somebody may have edited the file by hand.
        self._before = self._count() if self._stored else 0
        self._absent = 0

    def land(self, clock: Callable[[], datetime]) -> LoadReport:
        """Take in the whole read and account for every record of it.

        clock: the instant at the end of the load.
        """
        is_new = not self._stored
        if is_new:
            self._make_table()
        direct = self._stream()
        if is_new:
            self._stored = complete_table(self._connection, self._dataset, self._stored)
        target = self._target()
        rejected, duplicates = 0, 0
        written = Written(inserted=direct, change=direct)
        if not direct and self._has_work(target):
            rejected = self._reject_missing_keys(target)
            duplicates = self._settle(target)
            written = upsert(target, self._arrivals)
            target.drop("staged", "touched_parts")
        deleted = self._mark_deleted(target)
        self._tell_former_rules(target)
        self._tell_leavers(target, written)
        rows = self._before
        if is_new or deleted or written != Written():
            rows = registry.count_rows(
                self._connection, self._source, self._dataset, is_first=self._is_first
            )
        report = replace(
            self._told(written, clock()),
            rejected=self._intake.rejected + rejected,
            duplicates=duplicates,
            deleted=deleted,
            rows=rows,
        )
        require_balance(report, self._before + written.change)
        self._record(report)
        return report

    def _told(self, written: Written, finished_at: datetime) -> LoadReport:
        """The report with what the read and the table tell."""
        return replace(
            self._report,
            finished_at=finished_at,
            fetched=self._arrivals.fetched + self._intake.rejected,
            landed=written.inserted + written.updated + written.outdated,
            inserted=written.inserted,
            updated=written.updated,
            outdated=written.outdated,
            replaced=written.replaced,
            columns=tuple(sorted(self._delivered() & self._covered())),
            notices=self._notices(),
        )

    def _count(self) -> int:
        target = self._target()
        return target.count(f"select count(*) from {target.table} where {target.is_ours}")

    def _target(self) -> Target:
        return Target(
            connection=self._connection,
            dataset=self._dataset,
            source=self._source,
            covered=tuple(name for name in self._arrivals.schema.names if not name.startswith("_")),
            stored=self._stored,
            delivered_before=self._filled,
            parts=tuple(sorted(self._intake.parts)),
            is_whole=self._intake.is_whole,
        )

    # --- taking in ---------------------------------------------------------------------------

    def _make_table(self) -> None:
        create_table(self._connection, self._dataset, self._intake.columns)
        self._stored = ("source", *self._intake.columns, *HIDDEN_COLUMNS)

    def _stream(self) -> int:
        """Read everything; the number of rows that went straight into the table.

        Straight is the way of a first load: there is nothing to compare with. When it turns out
        that keys are missing or come twice, or that batches differ in their columns, the rows are
        taken back into `staged` and go the common way.
        """
        direct = 0
        if self._before == 0 and self._arrivals.peek():
            direct = self._feed_table()
            if direct and (self._arrivals.peek() or self._is_defective()):
                self._take_back()
                direct = 0
        if self._arrivals.peek():
            self._feed_staged()
        return direct

    def _is_defective(self) -> bool:
        if self._arrivals.missing_keys:
            return True
        target = self._target()
        ours = f"(select * from {target.table} where {target.is_ours})"
        return not self._arrivals.is_ascending and copies.may_repeat(target, ours)

    def _feed_table(self) -> int:
        target = self._target()
        values = {name: target.filled(name, quoted(name)) for name in target.covered}
        values |= {name: target.filled(name, "null") for name in target.defaulted(values)}
        values |= {"source": literal(self._source), "_part": "_part", "_loaded_at": "_loaded_at"}
        statement = (
            f"insert into {target.table} ({quoted_list(values)})\n"
            f"select {', '.join(values.values())} from {FEED}"
        )
        batches = self._arrivals.batches(only_whole=True)
        return feed(self._connection, statement, self._arrivals.schema, batches)

    def _take_back(self) -> None:
        target = self._target()
        listed = quoted_list([*target.covered, "_part", "_loaded_at"])
        target.execute(
            f"create temp table staged as select {listed}, 1::bigint as _shapes "
            f"from {target.table} where {target.is_ours}"
        )
        target.execute(f"delete from {target.table} where {target.is_ours}")

    def _feed_staged(self) -> None:
        self._make_staged()
        feed(
            self._connection,
            f"insert into {STAGED} select * from {FEED}",
            self._arrivals.schema,
            self._arrivals.batches(),
        )

    def _make_staged(self) -> None:
        kinds = {c.name: c.sql_type for c in self._dataset.columns}
        kinds |= {"_part": "VARCHAR", "_loaded_at": "TIMESTAMPTZ", "_shapes": "BIGINT"}
        listed = ", ".join(f"{quoted(name)} {kinds[name]}" for name in self._arrivals.schema.names)
        self._connection.execute(f"create temp table if not exists staged ({listed})")

    # --- setting aside and settling ----------------------------------------------------------

    def _has_work(self, target: Target) -> bool:
        """True when rows arrived or stored ones may leave; makes the tables for it."""
        leaves = self._before > 0 and (target.is_whole or bool(target.parts))
        if not self._arrivals.fetched and not leaves:
            return False
        self._make_staged()
        if target.parts:
            target.execute(
                "create temp table touched_parts as select unnest($parts::varchar[]) as part",
                {"parts": list(target.parts)},
            )
        return True

    def _reject_missing_keys(self, target: Target) -> int:
        if not self._arrivals.missing_keys:
            return 0
        missing = " or ".join(
            f"{quoted(name)} is null or {quoted(name)}::varchar = ''" for name in self._dataset.key
        )
        began = int(self._intake.started.timestamp() * 1_000_000)
        record = ", ".join(f"{literal(name)}: {quoted(name)}" for name in target.covered)
        target.execute(
            f"""insert into meta.rejected_rows
            select
                $sync_id, $source, $dataset,
                coalesce(_part || ', ', '') || 'record '
                    || (epoch_us(_loaded_at) - {began} + 1) || ' of the read',
                $reason, left(to_json({{{record}}})::varchar, 2000), $rejected_at
            from {STAGED} where {missing}""",
            {
                **registry.rejection_values(self._report),
                "reason": f"missing {' or '.join(self._dataset.key)}",
            },
        )
        return target.execute(f"delete from {STAGED} where {missing}")

    def _settle(self, target: Target) -> int:
        recalled = copies.recall(target) if copies.has_spares(target) else 0
        if recalled or (not self._arrivals.is_ascending and copies.may_repeat(target)):
            return copies.settle(target, self._arrivals)
        return 0

    def _mark_deleted(self, target: Target) -> int:
        """Mark the records that the source reported gone; how many were not marked before.

        A record that changed after the reported instant is back, and stays.
        """
        if not self._tells_deletions:
            return 0
        if self._dataset.key != ("id",) or "is_deleted" not in self._dataset:
            raise SourceError(
                f"the connector deleted records of {self._dataset.name} by id, which has no "
                "deletion mark. Read it whole, or in parts, instead."
            )
        return self._mark_told(target) + self._mark_absent(target)

    def _mark_told(self, target: Target) -> int:
        """Those that the source named as deleted; once without an instant is as of this read."""
        columns = dict.fromkeys(deletion.of for deletion in self._intake.deletions)
        return sum(self._mark_told_of(target, column) for column in columns)

    def _mark_told_of(self, target: Target, column: str) -> int:
        import pyarrow as pa

        told = [deletion for deletion in self._intake.deletions if deletion.of == column]
        gone = pa.table(
            {
                "id": [name for deletion in told for name in deletion.ids],
                "gone_at": pa.array(
                    [d.at for d in told for _ in d.ids], pa.timestamp("us", tz="UTC")
                ),
            }
        )
        return self._mark(
            target,
            gone,
            f"""update {target.table} t
            set is_deleted = true, updated_at = greatest(t.updated_at, gone.gone_at)
            from (
                select id, case when bool_and(gone_at is not null) then max(gone_at) end as gone_at
                from {_GONE} group by id
            ) gone
            where t.{target.is_ours} and t.{column} = gone.id and not t.is_deleted
            and (gone_at is null or t.updated_at is null or t.updated_at <= gone_at)""",
        )

    def _mark_absent(self, target: Target) -> int:
        """Those that are not among the ids that the source still has."""
        import pyarrow as pa

        if self._intake.retained is None:
            return 0
        kept = pa.table({"id": pa.chunked_array(self._intake.retained, pa.string())})
        column = self._intake.retained_of
        self._absent = self._mark(
            target,
            kept,
            f"""update {target.table} t set is_deleted = true
            where t.{target.is_ours} and not t.is_deleted and t.{column} is not null
            and not exists (select 1 from {_GONE} kept where kept.id = t.{column})""",
        )
        return self._absent

    def _mark(self, target: Target, ids: Any, statement: str) -> int:
        self._connection.register(_GONE, ids)
        try:
            return target.execute(statement)
        finally:
            self._connection.unregister(_GONE)

    def _tell_former_rules(self, target: Target) -> None:
        """What a source has forgotten stays, and cannot be made anew when its rules change."""
        if not self._intake.former_rules or self._intake.is_whole or not self._before:
            return
        began = literal(self._intake.started.isoformat())
        left = f"{target.is_ours} and _loaded_at < {began}::timestamptz"
        if count := target.count(f"select count(*) from {target.table} where {left}"):
            self._intake.notice(
                f"the rules of {self._dataset.name} have changed (its `columns:`, or options of "
                f"the source): {count:,} records that the source gives no more stay as the former "
                "rules made them."
            )

    def _tell_leavers(self, target: Target, written: Written) -> None:
        """Many that leave at once may be hidden and not gone, and no figure shows which."""
        left = written.left + self._absent
        is_meant = self._intake.is_left_out or self._intake.former_rules
        if left < _FEW or is_meant:
            return
        stands = f"{target.is_ours} and {target.is_live}"
        stand = target.count(f"select count(*) from {target.table} where {stands}")
        before = left + max(stand - written.inserted, 0)
        if left >= before * _NOTICEABLE:
            self._intake.notice(
                f"{left:,} of {before:,} records have left: the source gives them no more. Where "
                "nobody removed them there, it hides them (a right, a sharing rule, a filter, a "
                "shorter file): let it show them again and run `crmetrics sync --full`."
            )

    # --- the record --------------------------------------------------------------------------

    @property
    def _tells_deletions(self) -> bool:
        return bool(self._intake.deletions) or self._intake.retained is not None

    def _covered(self) -> set[str]:
        """The columns that stay true from now on."""
        return {*self._intake.columns, *(["is_deleted"] if self._tells_deletions else [])}

    def _delivered(self) -> set[str]:
        """The columns that this source has filled, this load included."""
        is_first = self._before == 0 and not self._filled
        came = set(self._arrivals.delivered)
        if not came and (is_first or self._intake.is_whole):
            came = set(self._intake.columns)  # no row, so no column was missing
        if self._tells_deletions:
            came.add("is_deleted")
        return came if self._intake.is_whole else came | self._filled

    def _notices(self) -> tuple[str, ...]:
        notices = list(self._intake.notices)
        unkept = self._intake.rejected - len(self._intake.rejections)
        if unkept:
            notices.append(
                f"{unkept} further rejected records are counted, but not kept with their text; "
                f"the first {KEPT_REJECTIONS} are."
            )
        return tuple(notices)

    def _record(self, report: LoadReport) -> None:
        connection, source, dataset = self._connection, self._source, self._dataset.name
        is_first = self._is_first
        registry.write_sync(connection, report, self._intake.run_id)
        if self._intake.is_left_out:
            registry.forget(connection, source, dataset)
            return
        registry.write_rejections(connection, report, self._intake.rejections)
        if report.rejected:
            registry.forget_old_rejections(connection, source, dataset)
        registry.write_delivered(
            connection, source, dataset, self._delivered(), self._covered(), is_first=is_first
        )
        registry.write_state(connection, report, self._intake, is_first=is_first)


def require_balance(report: LoadReport, expected_rows: int) -> None:
    """Every record is accounted for, and the table holds what the counts say.

    Raises WarehouseError otherwise, which rolls the load back.
    """
    accounted = report.landed + report.rejected + report.duplicates
    if report.fetched == accounted and report.rows == expected_rows:
        return
    raise WarehouseError(
        f"source {report.source!r}, dataset {report.dataset!r}: the counts do not add up. Fetched "
        f"{report.fetched}; landed {report.landed} + rejected {report.rejected} + duplicates "
        f"{report.duplicates} = {accounted}; the table holds {report.rows} rows, expected were "
        f"{expected_rows}. Nothing of this load was kept. This is a defect of crmetrics: please "
        "report it with these numbers."
    )
