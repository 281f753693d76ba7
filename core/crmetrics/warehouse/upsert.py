"""Rows from `temp.staged` into the dataset's table, by delete and insert in one transaction.

MERGE does the same in four to five times the time, and the table has no primary key to help.
"""

from __future__ import annotations

from msgspec import Struct

from crmetrics.warehouse.arrivals import Arrivals
from crmetrics.warehouse.copies import keep_staged, keep_stored
from crmetrics.warehouse.statements import quoted
from crmetrics.warehouse.target import STAGED, Target


class Written(Struct, frozen=True):
    """What one upsert did to the table.

    inserted, updated: arrived records that are new, or took the place of a stored one. outdated:
    those that the table holds in a newer version. replaced: stored records that left; left: those
    of them that were not marked deleted before. change: rows of the table afterwards minus before.
    """

    inserted: int = 0
    updated: int = 0
    outdated: int = 0
    replaced: int = 0
    left: int = 0
    change: int = 0


def upsert(target: Target, arrivals: Arrivals) -> Written:
    """Write the settled rows of `staged`, one per key.

    An incoming row takes the place of the stored one, unless that is newer by `updated_at` and of
    a part that was not read again. Columns that were not delivered keep their stored values.
    """
    kept = _kept_columns(target, arrivals)
    _find_former(target, kept)
    outdated = _leave_newer(target, arrivals)
    keep_stored(target, _overtaken(target))
    same_key = target.same_key("s", "f")
    updated = target.count(
        f"select count(*) from {STAGED} s semi join temp.former f on {same_key} where _shapes > 0"
    )
    arrived = target.count(f"select count(*) from {STAGED} where _shapes > 0")
    removed = target.execute(
        f"delete from {target.table} where rowid in (select _row from temp.former)"
    )
    released = f"{target.table} where {target.is_ours} and {target.is_released()}"
    left = target.count(f"select count(*) from {released} and {target.is_live}")
    replaced = target.execute(f"delete from {released}")
    written = _insert(target, arrivals, kept)
    target.drop("former")
    change = written - removed - replaced
    return Written(arrived - updated, updated, outdated, replaced, left, change)


def _kept_columns(target: Target, arrivals: Arrivals) -> tuple[str, ...]:
    """Columns for which a stored value may stay: beyond the read, or not in every batch of it."""
    mixed = () if target.is_whole else arrivals.mixed_columns
    return target.uncovered + tuple(name for name in mixed if name not in target.dataset.key)


def _find_former(target: Target, kept: tuple[str, ...]) -> None:
    """temp.former: the stored rows whose key came again, with what may be kept of them."""
    names = dict.fromkeys([*target.dataset.key, "_part", *kept])
    if target.has_change_time:
        names["updated_at"] = None
    listed = ", ".join(f"t.{quoted(name)}" for name in names)
    target.execute(
        f"""create temp table former as
        select t.rowid as _row, {listed}
        from {target.table} t
        semi join {STAGED} s on {target.same_key("t", "s")}
        where t.{target.is_ours}"""
    )


def _leave_newer(target: Target, arrivals: Arrivals) -> int:
    """Take the rows out of `staged` whose stored version is newer; how many had arrived."""
    newer = "f._part > s._part"
    if target.has_change_time:
        newer = f"""(s._shapes & {arrivals.mask("updated_at")} <> 0 and (
            f.updated_at > s.updated_at
            or (f.updated_at is not null and s.updated_at is null)
            or (f.updated_at is not distinct from s.updated_at and {newer})))"""
    target.execute(
        f"""create temp table outdated as
        select s.rowid as _row, f._row as _stored, s._part, f._part as stored_part, s._shapes
        from {STAGED} s join temp.former f on {target.same_key("s", "f")}
        where not {target.is_released("f.")} and {newer}"""
    )
    rows = target.count("select count(*) from temp.outdated where _shapes > 0")
    other_parts = "select _row from temp.outdated where _part <> stored_part"
    keep_staged(target, f"rowid in ({other_parts})")
    target.execute(f"delete from {STAGED} where rowid in (select _row from temp.outdated)")
    target.execute("delete from temp.former where _row in (select _stored from temp.outdated)")
    target.drop("outdated")
    return rows


def _overtaken(target: Target) -> str:
    """Condition: the stored row gives way to a copy of another part, but its own part remains."""
    return f"""rowid in (
        select f._row from temp.former f join {STAGED} s on {target.same_key("s", "f")}
        where f._part <> s._part and not {target.is_released("f.")})"""


def _insert(target: Target, arrivals: Arrivals, kept: tuple[str, ...]) -> int:
    values = {"source": "$source"}
    for name in target.covered:
        value = f"s.{quoted(name)}"
        if name in kept:
            delivered = f"s._shapes & {arrivals.mask(name)} <> 0"
            value = f"case when {delivered} then {value} else f.{quoted(name)} end"
        values[name] = target.filled(name, value)
    for name in target.uncovered:
        values[name] = target.filled(name, f"f.{quoted(name)}")
    for name in target.defaulted(values):
        values[name] = target.filled(name, "null")
    values |= {"_part": "s._part", "_loaded_at": "s._loaded_at"}
    joined = f"left join temp.former f on {target.same_key('s', 'f')}" if kept else ""
    return target.execute(
        f"""insert into {target.table} ({", ".join(quoted(name) for name in values)})
        select {", ".join(values.values())} from {STAGED} s {joined}""",
        {"source": target.source},
    )
