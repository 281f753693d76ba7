"""The latest of the rows that are the same, in each window and group.

Which row is the latest differs from group to group: of two answers of a contact who moved to
another team, each is the latest of its team and one is that of the total. Rows that stand alone in
their window, nearly all of them, are the latest in every group; the others are looked at group by
group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crmetrics.catalog import Measure
from crmetrics.compiler.fact import Fact
from crmetrics.warehouse.placeholders import identifier

LATEST_COLUMNS = ("latest_per", "latest_by")
_SAME = "r.window_id = f.window_id and r.latest_per is not distinct from f.latest_per"
_OWN = ", ".join(LATEST_COLUMNS)


def latest_fact(
    fact: Fact, measure: Measure, where: Sequence[str], further: Sequence[tuple[str, str]] = ()
) -> str:
    """The fact with LATEST_COLUMNS and further columns (SQL, name)."""
    assert measure.latest is not None
    place = measure.place("latest")
    sqls = [fact.expression(sql, place) for sql in (measure.latest.per, measure.latest.by)]
    return fact.sql(where, [*further, *zip(sqls, LATEST_COLUMNS, strict=True)])


def only_latest(fact: str, groupings: Sequence[Sequence[str]]) -> str:
    """The rows of a fact with LATEST_COLUMNS that are the latest in any of these groupings."""
    terms = [_is_latest(grouping) for grouping in groupings]
    return f"select * exclude ({_OWN})\nfrom (\n{_indented(fact)}\n)\nqualify " + "\n  or ".join(
        terms
    )


def latest_statement(
    name: str,
    fact: str,
    groupings: Sequence[Sequence[str]],
    aggregates: Mapping[str, str],
    *,
    has_orphans: bool,
) -> str:
    """The table `name`: the aggregates (SQL -> alias) of the latest rows of each grouping.

    fact: with LATEST_COLUMNS and, where `has_orphans`, `orphan_of(n)` per grouping, which is its
    `is_orphan`.
    """
    dimensions = list(dict.fromkeys(name for grouping in groupings for name in grouping))
    shown = [f"{sql} as {alias}" for sql, alias in aggregates.items()]
    selects = []
    for number, grouping in enumerate(groupings):
        columns = [
            identifier(f"by {name}") if name in grouping else f"null as {identifier(f'by {name}')}"
            for name in dimensions
        ]
        own = f"*, {orphan_of(number)} as is_orphan" if has_orphans else "*"
        keys = ", ".join(_keys(grouping))
        selects.append(
            "select\n  " + ",\n  ".join(["window_id", *columns, *shown]) + "\nfrom (\n"
            f"  select {own} from alone\n"
            "  union all\n"
            f"  select {own} from (\n"
            f"    select * from repeated\n    qualify {_is_latest(grouping)}\n  )\n"
            f")\ngroup by {keys}"
        )
    return (
        f"create or replace temp table {name} as\nwith fact as (\n{_indented(fact)}\n),\n"
        "same as (\n  select window_id, latest_per from fact\n"
        "  group by window_id, latest_per having count(*) > 1\n),\n"
        f"alone as (\n  select f.* from fact f\n  anti join same r on {_SAME}\n),\n"
        f"repeated as (\n  select f.* from fact f\n  semi join same r on {_SAME}\n)\n"
        + "\nunion all\n".join(selects)
    )


def orphan_of(number: int) -> str:
    """The column that says of a row whether a key of the grouping of this number leads nowhere."""
    return f"is_orphan_{number}"


def _is_latest(grouping: Sequence[str]) -> str:
    same = ", ".join([*_keys(grouping), "latest_per"])
    return f"row_number() over (partition by {same} order by latest_by desc nulls last) = 1"


def _keys(grouping: Sequence[str]) -> list[str]:
    return ["window_id", *(identifier(f"by {name}") for name in grouping)]


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())
