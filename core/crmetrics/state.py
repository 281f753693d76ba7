"""The ledger in the warehouse's schema `meta`: runs, and results in all their versions.

Results are kept per job, KPI, variant, period and segment. A value that a later run changes is not
overwritten: the former version gets a `valid_to`, the new one the next `version` number (rule P6).
A run that confirms a value writes nothing. Every recording has a number, and each version knows by
which it came (`recording`) and went (`closed_by`): what a sink was told can be read again, whatever
the clock did since.

`session` is a read-write session of the warehouse for everything that writes; reading also works
on a read-only one, and on a warehouse that has no ledger yet.
"""

from __future__ import annotations

import json
import secrets as randomness
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from crmetrics import export
from crmetrics.errors import WarehouseError
from crmetrics.periods import Period
from crmetrics.results import result_schema

if TYPE_CHECKING:
    import pyarrow as pa

RESULT_KEY = ("job", "kpi", "variant", "period_start", "period_end", "grain", "segment")
"""One current version per key."""

# What names the computation, not what it found: a change in these alone is no new version.
_CIRCUMSTANCES = ("as_of", "run_id", "computed_at")

_INCOMING = "incoming_results"

_IS_MATURING = "(status = 'maturing' or coalesce(flags, '') like '%\"maturing\"%')"

# Columns of meta.runs that ledgers of the first versions do not have.
_RUN_COLUMNS_SINCE = (
    "period_start date", "period_end date", "grain varchar", "is_dated boolean"
)  # fmt: skip


class Reader(Protocol):
    """What reading the ledger needs of a warehouse session."""

    def rows(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]: ...


class Session(Protocol):
    """What the ledger needs of a warehouse session."""

    def execute(self, sql: str, params: Any = None) -> int: ...
    def rows(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]: ...
    def arrow(self, sql: str, params: Any = None) -> pa.Table: ...
    def register(self, name: str, relation: Any) -> None: ...
    def unregister(self, name: str) -> None: ...
    def transaction(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class RecordedResults:
    """What recording a run's results did: rows new, changed, withdrawn (their group is gone) and
    confirmed as they were."""

    added: int
    changed: int
    withdrawn: int
    confirmed: int


def new_run_id(at: datetime) -> str:
    """A run id that sorts by time: `20260202T080000Z-1f3a9c`."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{randomness.token_hex(3)}"


# --- tables ----------------------------------------------------------------------------------


def create_ledger(session: Session) -> None:
    """Make the tables that are missing, and the columns that an older version did not have."""
    columns = _result_columns()
    described = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    statements = [
        "create schema if not exists meta",
        "create table if not exists meta.runs (run_id varchar primary key, job varchar, "
        "started_at timestamptz, finished_at timestamptz, recorded_at timestamptz, "
        "exit_code integer, as_of timestamptz, config_hash varchar, summary varchar)",
        *(f"alter table meta.runs add column if not exists {c}" for c in _RUN_COLUMNS_SINCE),
        f"create table if not exists meta.results ({described})",
    ]
    with session.transaction():
        for statement in statements:
            session.execute(statement)
        for name, kind in columns.items():
            session.execute(f'alter table meta.results add column if not exists "{name}" {kind}')


def _result_columns() -> dict[str, str]:
    """Columns of meta.results and their DuckDB types; maps and lists are JSON text."""
    kinds = {
        "double": "double",
        "int64": "bigint",
        "date32[day]": "date",
        "timestamp[us, tz=UTC]": "timestamptz",
    }
    flat = {name: kinds.get(str(kind), "varchar") for name, kind in _schema_types()}
    versions = {"version": "integer", "valid_from": "timestamptz", "valid_to": "timestamptz"}
    recordings = {"recording": "bigint", "closed_by": "bigint"}
    return {"job": "varchar", **flat, **versions, **recordings}


def _schema_types() -> list[tuple[str, Any]]:
    return [(column.name, column.type) for column in result_schema()]


def has_table(session: Reader, name: str) -> bool:
    """Whether the ledger has this table; a warehouse may have no ledger yet."""
    return bool(
        session.rows(
            "select 1 from duckdb_tables() "
            "where schema_name = 'meta' and table_name = ? and not temporary",
            [name],
        )
    )


def columns_of(session: Reader, table: str) -> frozenset[str]:
    """The columns of a table of the ledger; those of an older version may be fewer, and none where
    there is no such table yet."""
    # Asked first, since a name that is unknown to DuckDB ends the transaction. Both together cost
    # half of what information_schema.columns does, which goes through every table and view.
    if not has_table(session, table):
        return frozenset()
    found = session.rows(f"select name from pragma_table_info('meta.{table}')")
    return frozenset(name for (name,) in found)


# --- runs ------------------------------------------------------------------------------------


def start_run(
    session: Session,
    run_id: str,
    *,
    job: str,
    period: Period,
    is_dated: bool,
    at: datetime,
    config_hash: str,
) -> None:
    """Note that a run has begun, before anything is read; one that never finishes stays without
    `finished_at`.

    is_dated: somebody asked for this period; it was not the turn of the schedule.
    """
    session.execute(
        "insert into meta.runs (run_id, job, period_start, period_end, grain, is_dated, "
        "started_at, config_hash) values (?, ?, ?, ?, ?, ?, ?, ?)",
        [run_id, job, period.start, period.end, period.grain, is_dated, at, config_hash],
    )


def finish_run(
    session: Session,
    run_id: str,
    *,
    at: datetime,
    as_of: datetime,
    exit_code: int,
    summary: Mapping[str, Any],
) -> None:
    """Note how a run ended, and by which data (`as_of`); summary: JSON-like."""
    session.execute(
        "update meta.runs set finished_at = ?, as_of = ?, exit_code = ?, summary = ? "
        "where run_id = ?",
        [at, as_of, exit_code, _json(summary), run_id],
    )


def runs(session: Session, *, job: str = "", limit: int = 50) -> pa.Table | None:
    """The last runs (of a job), newest first; None when there is no ledger yet."""
    if not has_table(session, "runs"):
        return None
    return session.arrow(
        "select * from meta.runs where ? in ('', job) order by run_id desc limit ?", [job, limit]
    )


@dataclass(frozen=True, slots=True)
class ReportedPeriod:
    """The period of one run. exit_code: None when the run never finished."""

    start: date
    run_at: datetime
    exit_code: int | None
    is_dated: bool


def reported_periods(session: Session, job: str, *, grain: str) -> list[ReportedPeriod]:
    """The runs of a job about periods of this grain, in the order of the runs."""
    if "period_start" not in columns_of(session, "runs"):
        return []
    found = session.rows(
        "select period_start, started_at, exit_code, is_dated from meta.runs "
        "where job = ? and grain = ? order by run_id",
        [job, grain],
    )
    return [
        ReportedPeriod(start, at.astimezone(UTC), code, is_dated)
        for start, at, code, is_dated in found
    ]


# --- results ---------------------------------------------------------------------------------


def record_results(
    session: Session, results: pa.Table, *, job: str, run_id: str, at: datetime
) -> RecordedResults:
    """Keep the results of a run as current versions; all of it or nothing.

    results: `results.result_schema()`; they are complete for each of their (KPI, variant, period),
    so a group that was there before and is not among them is withdrawn.
    Raises WarehouseError when two rows have the same key.
    """
    import pyarrow as pa

    if results.num_rows == 0:
        return RecordedResults(0, 0, 0, 0)
    staged = export.flat(results).append_column("job", pa.array([job] * results.num_rows))
    session.register(_INCOMING, staged)
    try:
        with session.transaction():
            session.execute(_stage_sql())
            _refuse_duplicates(session)
            number = last_recording(session) + 1
            changed = session.execute(_close_sql(_differs_sql()), [at, number])
            withdrawn = session.execute(_close_sql(_is_gone_sql()), [at, number])
            written = session.execute(_insert_sql(), [at, number])
            session.execute("update meta.runs set recorded_at = ? where run_id = ?", [at, run_id])
            session.execute("drop table staged_results")
    finally:
        session.unregister(_INCOMING)
    return RecordedResults(
        added=written - changed,
        changed=changed,
        withdrawn=withdrawn,
        confirmed=results.num_rows - written,
    )


def last_recording(session: Reader) -> int:
    """The number of the last recording that changed anything; 0 = none."""
    if "recording" not in columns_of(session, "results"):
        return 0
    found = session.rows(
        "select coalesce(max(greatest(recording, closed_by)), 0) from meta.results"
    )
    return int(found[0][0])


def history(
    session: Session,
    kpi: str,
    *,
    job: str,
    grain: str,
    variant: str = "",
    segment: Mapping[str, str] | None = None,
    before: date | None = None,
    limit: int = 13,
) -> list[tuple[date, float | None]]:
    """The current values of a KPI, one per period, oldest first: (first day, value).

    segment: None or empty = the total. before: only periods that start earlier. limit: the last so
    many. Partial and maturing values are left out (P4, P7).
    """
    if not has_table(session, "results"):
        return []
    found = session.rows(
        "select period_start, value from meta.results "
        "where valid_to is null and job = ? and kpi = ? and variant = ? and grain = ? "
        "and segment = ? and period_start < ? "
        "and status not in ('partial', 'maturing') and not coalesce("
        "list_has_any(json_extract_string(flags, '$[*]'), ['partial', 'maturing']), false) "
        "order by period_start desc limit ?",
        [job, kpi, variant, grain, _json(segment or {}), before or date.max, limit],
    )
    return [(day, value) for day, value in reversed(found)]


def reported(
    session: Reader, *, job: str, start: date, grain: str, recording: int | None = None
) -> dict[tuple[str, str, str], tuple[float | None, bool]]:
    """What a job has reported on one period: (KPI, variant, segment as JSON text) -> value, and
    whether it was said to change still (P7).

    recording: as it stood after the recording of that number; None = as it stands now.
    """
    if not has_table(session, "results"):
        return {}
    then = "coalesce(recording, 0) <= ? and (valid_to is null or closed_by > ?)"
    found = session.rows(
        f"select kpi, variant, segment, value, {_IS_MATURING} from meta.results "
        "where job = ? and period_start = ? "
        f"and grain = ? and {'valid_to is null' if recording is None else then}",
        [job, start, grain, *([] if recording is None else [recording, recording])],
    )
    return {
        (kpi, variant, place): (value, is_open) for kpi, variant, place, value, is_open in found
    }


def maturing_periods(
    session: Reader, *, job: str, grain: str, kpis: Sequence[tuple[str, str]], since: datetime
) -> list[date]:
    """The first days of periods of which a job has recorded a value that may still change (rule
    P7), or had until `since`; the oldest first. kpis: (KPI, variant) that it reports now."""
    if not has_table(session, "results"):
        return []
    found = session.rows(
        "select distinct period_start, kpi, variant from meta.results "
        "where job = ? and grain = ? and (valid_to is null or valid_to >= ?) "
        f"and {_IS_MATURING}",
        [job, grain, since],
    )
    return sorted({start for start, kpi, variant in found if (kpi, variant) in set(kpis)})


def flags_of(
    session: Reader, *, job: str, start: date, grain: str
) -> dict[tuple[str, str, str], tuple[str, ...]]:
    """The flags that a job has recorded with one period: (KPI, variant, segment as JSON text) ->
    flags; rows without flags are left out."""
    if not has_table(session, "results"):
        return {}
    found = session.rows(
        "select kpi, variant, segment, flags from meta.results "
        "where valid_to is null and job = ? and period_start = ? and grain = ? "
        "and flags not in ('', '[]')",
        [job, start, grain],
    )
    return {
        (kpi, variant, segment): tuple(json.loads(flags)) for kpi, variant, segment, flags in found
    }


def versions(
    session: Session, kpi: str, *, job: str = "", variant: str = "", limit: int = 500
) -> pa.Table | None:
    """Every version of the total of a KPI, the last period and version first: job, period, value,
    status, run_id, definition_hash, version, valid_from, valid_to. None = no ledger yet."""
    if not has_table(session, "results"):
        return None
    return session.arrow(
        "select job, period_start, period_end, grain, value, unit, status, run_id, "
        "definition_hash, version, valid_from, valid_to from meta.results "
        "where kpi = ? and variant = ? and segment = '{}' and ? in ('', job) "
        "order by job, grain, period_start desc, version desc limit ?",
        [kpi, variant, job, limit],
    )


def _stage_sql() -> str:
    """Incoming rows with the key made comparable: the default variant is the empty text."""
    special = {"variant": "coalesce(variant, '')", "segment": "coalesce(segment, '{}')"}
    columns = ["job", *(name for name, _ in _schema_types())]
    parts = (f'{special.get(name, name)} as "{name}"' for name in columns)
    return (
        f"create or replace temp table staged_results as select {', '.join(parts)} from {_INCOMING}"
    )


def _refuse_duplicates(session: Session) -> None:
    key = ", ".join(RESULT_KEY)
    twice = session.rows(
        f"select {key} from staged_results group by all having count(*) > 1 limit 1"
    )
    if twice:
        named = ", ".join(
            f"{name} {value}" for name, value in zip(RESULT_KEY, twice[0], strict=True)
        )
        raise WarehouseError(f"the results hold two rows for {named}; expected one per key.")


def _same_key(one: str, other: str) -> str:
    return " and ".join(f"{one}.{name} = {other}.{name}" for name in RESULT_KEY)


def _close_sql(condition: str) -> str:
    return (
        "update meta.results as kept set valid_to = ?, closed_by = ? "
        f"where kept.valid_to is null and {condition}"
    )


def _differs_sql() -> str:
    """A staged row says something else. Floats differ beyond rounding only: sums of the same rows
    can differ in their last bit from run to run."""
    terms = []
    for name, kind in _schema_types():
        if name in RESULT_KEY or name in _CIRCUMSTANCES:
            continue
        old, new = f"kept.{name}", f"staged.{name}"
        term = f"{old} is distinct from {new}"
        if str(kind) == "double":
            noise = f"1e-12 * greatest(abs({old}), abs({new}))"
            term += f" and coalesce(abs({old} - {new}) > {noise}, true)"
        terms.append(f"({term})")
    return (
        f"exists (from staged_results as staged where {_same_key('staged', 'kept')} "
        f"and ({' or '.join(terms)}))"
    )


def _is_gone_sql() -> str:
    scope = [name for name in RESULT_KEY if name != "segment"]
    same_scope = " and ".join(f"staged.{name} = kept.{name}" for name in scope)
    return (
        f"exists (from staged_results as staged where {same_scope}) and not exists "
        f"(from staged_results as staged where {_same_key('staged', 'kept')})"
    )


def _insert_sql() -> str:
    columns = ["job", *(name for name, _ in _schema_types())]
    names = ", ".join(f'"{name}"' for name in columns)
    staged = ", ".join(f'staged."{name}"' for name in columns)
    former = f"from meta.results as kept where {_same_key('kept', 'staged')}"
    return (
        f"insert into meta.results ({names}, version, valid_from, recording) "
        f"select {staged}, 1 + (select count(*) {former}), ?, ? from staged_results as staged "
        f"where not exists ({former} and kept.valid_to is null)"
    )


def _json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
