"""What the questions of one session have set up, and what of it still stands.

Windows, days, slices and materialized models are made by statements of a program. The next question
often asks for the same: a statement is not run again while its text is the same and nothing that it
reads has been made anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from msgspec import Struct, field

from crmetrics.compiler.program import Statement
from crmetrics.warehouse.compute import ComputeSession
from crmetrics.warehouse.placeholders import words

_MADE = re.compile(
    r"create or replace temp (?:table|view|type|macro) (\w+)(?:\(\))? as(?: enum \()?\n"
)


class _Made(Struct, frozen=True):
    sql: str
    number: int


class Standing(Struct):
    """Runs the statements of programs in one session.

    behind: names -> these and what models among them read. unsteady: the names of relations whose
    rows or texts others may change meanwhile; a statement that reads one of them always runs.
    """

    session: ComputeSession
    behind: Callable[[Collection[str]], set[str]]
    unsteady: Callable[[], Collection[str]]
    _made: dict[str, _Made] = field(default_factory=dict)
    _count: int = 0

    def run(self, statement: Statement) -> None:
        sql = statement.sql
        found = _MADE.match(sql)
        named = words(sql)
        if found and statement.kind == "setup" and self._stands(found[1], sql, named):
            return
        self.session.prepare(sql)
        self.session.execute(sql)
        if found:
            self._count += 1
            self._made[found[1]] = _Made(sql, self._count)

    def _stands(self, name: str, sql: str, named: Collection[str]) -> bool:
        known = self._made.get(name)
        if known is None or known.sql != sql:
            return False
        named = self.behind(named) - {name}
        read = (self._made[other] for other in named if other in self._made)
        is_current = all(other.number < known.number for other in read)
        return is_current and named.isdisjoint(self.unsteady())
