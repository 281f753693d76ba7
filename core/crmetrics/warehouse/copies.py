"""Several copies of one key: which stands, which wait in `spare`, which were duplicates.

A dataset may come in parts (files) that hold the same key. The newest copy stands in the table;
the copy of another part waits in `spare`, because that part may be all that is left tomorrow. So
the table depends on the parts that exist, not on the order in which they were read.
"""

from __future__ import annotations

from crmetrics.warehouse.arrivals import Arrivals
from crmetrics.warehouse.schema import stored_tables
from crmetrics.warehouse.statements import quoted, quoted_list
from crmetrics.warehouse.target import STAGED, Target


def may_repeat(target: Target, relation: str = STAGED) -> bool:
    """True when a key may stand twice in `relation`; never False when one does.

    Distinct hashes prove distinct keys, and cost half of distinct texts.
    """
    return bool(
        target.connection.scalar(
            f"select count(*) > count(distinct hash({target.keys()})) from {relation}"
        )
    )


# --- inside one load -------------------------------------------------------------------------


def settle(target: Target, arrivals: Arrivals) -> int:
    """Leave one copy of each key in `staged`; the number of arrived rows that went.

    A copy of another part goes to `spare`. When the copies were delivered with different columns,
    the one that stays takes from each column the newest value that was delivered.
    """
    _rank(target, arrivals)
    if arrivals.is_mixed:
        _merge(target, arrivals)
    losers = "select _row from temp.copies where place > 1"
    # Null, which stands for no part, is never unequal: such copies do not wait.
    other_parts = f"{losers} and place_in_part = 1 and _part <> best_part"
    keep_staged(target, f"rowid in ({other_parts})")
    lost = target.count("select count(*) from temp.copies where place > 1 and _shapes > 0")
    target.execute(f"delete from {STAGED} where rowid in ({losers})")
    target.drop("copies")
    return lost


def _rank(target: Target, arrivals: Arrivals) -> None:
    """temp.copies: every row of a key that stands twice, with its place among the copies."""
    order = target.newest_first
    keys = target.keys()
    target.execute(
        f"""create temp table copies as
        with repeated as (
            select {keys} from {STAGED} group by all having count(*) > 1
        ),
        dated as (
            select s.rowid as _row, s._part, s._shapes, s._loaded_at, {target.keys("s.")},
                {_change_time(target, arrivals)} as _changed
            from {STAGED} s
            semi join repeated on {target.same_key("s", "repeated")}
        )
        select
            _row, _part, _shapes, {keys},
            row_number() over same_key as place,
            first_value(_part) over same_key as best_part,
            row_number() over (partition by {keys}, _part order by {order}) as place_in_part
        from dated
        window same_key as (partition by {keys} order by {order})"""
    )


def _change_time(target: Target, arrivals: Arrivals) -> str:
    """When a copy changed; one that came without the column follows the copies before it."""
    if not target.has_change_time:
        return "null"
    if "updated_at" not in arrivals.mixed_columns:
        return "s.updated_at"
    return f"""case
        when s._shapes & {arrivals.mask("updated_at")} <> 0 then s.updated_at
        else max(s.updated_at) over (partition by {target.keys("s.")} order by s._loaded_at)
    end"""


def _merge(target: Target, arrivals: Arrivals) -> None:
    merged = ", ".join(
        f"last(s.{quoted(name)} order by c.place desc) "
        f"filter (where s._shapes & {arrivals.mask(name)} <> 0) as {quoted(name)}"
        for name in arrivals.mixed_columns
    )
    assigned = ", ".join(f"{quoted(name)} = m.{quoted(name)}" for name in arrivals.mixed_columns)
    target.execute(
        f"""update {STAGED} s set {assigned}, _shapes = m._shapes
        from (
            select
                max(c._row) filter (where c.place = 1) as _row, bit_or(s._shapes) as _shapes,
                {merged}
            from {STAGED} s join temp.copies c on s.rowid = c._row
            where s._shapes > 0
            group by {target.keys("c.")}
            having count(distinct s._shapes) > 1
        ) m
        where s.rowid = m._row"""
    )


# --- copies that wait ------------------------------------------------------------------------


def has_spares(target: Target) -> bool:
    """True when copies of this dataset wait in `spare`."""
    return ("spare", target.dataset.name) in stored_tables(target.connection)


def recall(target: Target) -> int:
    """Bring the waiting copies of all keys that this load touches back into `staged`.

    Copies of parts that are read again or gone are dropped first. Returns how many came back.
    """
    target.execute(f"delete from {target.spare} where {target.is_ours} and {target.is_released()}")
    if target.is_whole:
        return 0
    target.execute(
        f"""create temp table recalled as
        with touched as (
            select {target.keys()} from {STAGED}
            union
            select {target.keys()} from {target.table}
            where {target.is_ours} and {target.is_released()}
        )
        select p.rowid as _row from {target.spare} p
        semi join touched on {target.same_key("p", "touched")}
        where p.{target.is_ours}"""
    )
    listed = quoted_list([*target.covered, "_part", "_loaded_at"])
    chosen = "rowid in (select _row from temp.recalled)"
    found = target.execute(
        f"insert into {STAGED} ({listed}, _shapes) "
        f"select {listed}, -1 from {target.spare} where {chosen}"
    )
    target.execute(f"delete from {target.spare} where {chosen}")
    target.drop("recalled")
    return found


def keep_staged(target: Target, condition: str) -> None:
    """Copy these rows of `staged` to `spare`."""
    if not target.count(f"select count(*) from {STAGED} where {condition}"):
        return
    _make_spare(target)
    listed = quoted_list(target.covered)
    target.execute(
        f"insert into {target.spare} (source, {listed}, _part, _loaded_at) "
        f"select $source, {listed}, _part, _loaded_at from {STAGED} where {condition}",
        {"source": target.source},
    )


def keep_stored(target: Target, condition: str) -> None:
    """Copy these rows of the dataset's table to `spare`."""
    if not target.count(f"select count(*) from {target.table} where {condition}"):
        return
    _make_spare(target)
    # Columns of plugins that are gone may differ between the two tables: not copied.
    own = [name for name in target.stored if name in target.dataset]
    listed = quoted_list([*own, "_part", "_loaded_at"])
    target.execute(
        f"insert into {target.spare} ({listed}) "
        f"select {listed} from {target.table} where {condition}"
    )


def _make_spare(target: Target) -> None:
    target.execute(
        f"create table if not exists {target.spare} as select * from {target.table} limit 0"
    )
