"""What facts know of the session that they are computed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from crmetrics.compiler.coding import Coded
from crmetrics.compiler.relations import Relation, Schema

if TYPE_CHECKING:
    from crmetrics.compiler.fact import Fact

ALL_COLUMNS = "* exclude (_reason)"
"""The columns of what was left out of a dataset, where a statement may read any of them."""


class Surroundings(Struct, frozen=True):
    """What a fact must know beside names: how to join, convert and read the run's settings.

    source_name: SQL name of a relation (`live_opportunities`). join: (child's alias, parent's
    alias, foreign key, child) -> the condition. convert: (amount, currency, rate) -> SQL in the
    reporting currency. has_rates: any rate loaded. day_of: SQL of the local day of an instant.
    reasons: why quality rules leave out rows of a relation; empty = they leave out none. is_large:
    whether a dataset is worth a look beforehand. is_coded: whether a text behind kept rows of it is
    grouped by as a number. enumeration: the one that is the type of a column; None for other types,
    and where groups are to be texts. has_any: whether any row of a relation, by its SQL name, meets
    a condition. parent_of: the dataset whose left-out records took rows of a relation with them
    (rule E7); empty when none did. table_of: the table that stores a column of a dataset, of
    left-out records too; empty when none does.
    """

    schema: Schema
    source_name: Callable[[str], str]
    join: Callable[[str, str, str, Relation], str]
    convert: Callable[[str, str, str], str]
    has_rates: bool
    day_of: Callable[[str], str]
    as_of_day: str
    reasons: Callable[[str], tuple[str, ...]]
    is_large: Callable[[str], bool]
    is_coded: Callable[[str, Coded], bool]
    enumeration: Callable[[str], Coded | None]
    has_any: Callable[[str, str], bool]
    parent_of: Callable[[str], str]
    table_of: Callable[[str, str], str]
    parents: dict[str, Fact] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
