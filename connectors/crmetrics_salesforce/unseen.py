"""Rows that the org no longer shows (logins of last year, yesterday's forecasts), and the rules of
the project file that they were read by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from crmetrics.plugin import ReadRequest
from crmetrics_salesforce.applying import Applying
from crmetrics_salesforce.assembling import Workbench
from crmetrics_salesforce.catalog import Survey
from crmetrics_salesforce.reach import Reach
from crmetrics_salesforce.rules import RULES
from crmetrics_salesforce.streams import Stream

_DAY = re.compile(r":(\d{4}-\d\d-\d\d)$")
"""At the end of the id of a row that is kept of each day."""


def stood_in(request: ReadRequest, survey: Survey, streams: Sequence[Stream]) -> dict[str, str]:
    """Objects that can be read now and that another one goes on standing in for -> that one.

    It gave rows of earlier days that no read gives again, and the two are never added: only who
    begins anew gives those rows up.
    """
    given = request.state.get("given") or {}
    granted = {reach.stream.object for reach in survey.reaches} - {*given}
    return {
        stream.instead_of: stream.object
        for stream in streams
        if stream.forgets and stream.object in given and stream.instead_of in granted
        if _has_earlier_days(request)
    }


def _has_earlier_days(request: ReadRequest) -> bool:
    """Whether rows are kept, by the rules of now, whose ids end with a day before today."""
    today = _today(request)
    found = (
        _DAY.search(str(name))
        for batch in request.stored(("id",))
        for name in batch.column("id").to_pylist()
    )
    return any(day[1] < today for day in found if day)


def _today(request: ReadRequest) -> str:
    return f"{request.started.astimezone(UTC):%Y-%m-%d}"


class Unseen:
    """Whether rows of earlier reads may stay beside those of this one."""

    def __init__(self, request: ReadRequest, applying: Applying, reaches: Sequence[Reach]) -> None:
        self._request = request
        self._applying = applying
        self._reaches = [reach for reach in reaches if reach.stream.forgets]
        self._is_kept = False

    @property
    def rules(self) -> dict[str, dict[str, str]]:
        """Object -> the rules of its rows: conditions by their keys, entries by their columns."""
        return {
            reach.stream.object: {
                **{key: rule for key in RULES if (rule := self._applying.of(key, reach))},
                **{f"columns.{name}": text for name, text in self._request.mapping.items()},
            }
            for reach in self._reaches
        }

    def keep(self) -> bool:
        """Let rows stay that were read by the same rules; others leave, and that is told. True when
        they stay."""
        if not self._reaches:
            return False
        if changed := self._changed():
            self._request.notice(
                f"{', '.join(changed)} changed: rows of earlier reads that the org no longer shows "
                "leave, because nothing tells what they would be by the new rules."
            )
            return False
        self._request.keep_unseen()
        self._is_kept = True
        return True

    def at_stake(self, bench: Workbench) -> str:
        """What leaves with a new condition, for who is told to write one. The ids of the rows end
        with their day."""
        import pyarrow as pa

        bench.make("kept", {"id": pa.string(), "is_deleted": pa.bool_()})
        bench.fill("kept", self._request.stored(("id", "is_deleted"), even_former=self._is_kept))
        earlier = bench.column(f"""
            select format('{{:,}} rows of {{:,}} earlier days ({{}} to {{}})',
                count(*), count(distinct day), min(day), max(day))
            from (
                select regexp_extract(id, ':([0-9-]{{10}})$', 1) as day
                from kept
                where not is_deleted
            )
            where day <> '' and day < '{_today(self._request)}'
            having count(*) > 0""")
        told = "the org shows what is forecast today only: "
        if not earlier:
            return f"{told}write the condition now, for rows of the days until then leave with it."
        return (
            f"{told}the {earlier[0]} leave for good with a new condition, those that meet it too. "
            "Copy the warehouse file first to keep them."
        )

    def _changed(self) -> list[str]:
        former = self._request.state.get("rules")
        before: Mapping[str, Any] = former if isinstance(former, dict) else {}
        given: Mapping[str, Any] = self._request.state.get("given") or {}
        found: dict[str, None] = {}
        for reach in self._reaches:
            old = before.get(reach.stream.object)
            filled = given.get(reach.stream.object) or {}
            now = self.rules[reach.stream.object]
            if old is None:  # never read, or by a version that did not note its rules
                continue
            for key in sorted({*old, *now}):
                # A column that nothing gave before is null in the old rows, not wrong.
                is_new = key not in old and key.startswith("columns.")
                is_further = is_new and key.partition(".")[2] not in filled
                if old.get(key) != now.get(key) and not is_further:
                    found[f"`{key}:`"] = None
        return list(found)
