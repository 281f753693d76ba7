"""The connector's own entries, computed for a batch: what no column holds is null and told.

A price and a quantity that are plausible each can make a product that no column of money holds. And
a number that is computed from a value that could not be read would be another number: an order is
not worth more because its tax is no number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from crmetrics.plugin import ReadRequest, SourceError, redact
from crmetrics_hubspot.mapping import fields_in
from crmetrics_hubspot.values import Misfits, compute

_UNREADABLE = "unreadable_"
_NO_NUMBER = "('no number ' || id)"
_NUMBERS = frozenset({"money", "float", "int"})


class OwnColumns:
    """The columns that a dataset's entries give of records.

    entries: canonical column -> SQL over the fields of the batches. The project file's entries come
    before them, and fail as everywhere when they cannot be computed.
    """

    def __init__(self, request: ReadRequest, entries: Mapping[str, str]) -> None:
        self._request, self._entries = request, entries
        self._computed = {
            column: fields_in(text)
            for column, text in entries.items()
            if request.dataset.column(column).type in _NUMBERS and fields_in(text) != (text,)
        }
        self._failed: dict[str, tuple[int, str]] = {}

    def derive(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """Those of `columns` that there are. The batch may say of a field in which of its records
        it could not be read (`with_unreadable`)."""
        unreadable = self._of_unreadable(batch)
        entries = {**self._entries, **unreadable}
        try:
            if not unreadable:
                return self._request.derive(batch, entries, columns)
        except SourceError:
            pass  # once more, value by value: what fails then is an entry of the project file
        numbers = [name for name in self._computed if name in columns]
        others = [name for name in columns if name not in numbers]
        found = self._request.derive(batch, entries, others)
        for name in numbers:
            found = found.append_column(name, self._number(name, batch, entries[name]))
        return found

    def _number(self, column: str, batch: pa.RecordBatch, text: str) -> Any:
        """One column, null where it cannot be computed.

        By itself: DuckDB takes what several expressions have in common out of their `try`.
        """
        cast = f"cast(({text}) as {self._request.dataset.column(column).sql_type})"
        found = self._request.derive(batch, {column: f"try({cast})"}, [column]).column(column)
        is_failed = f"case when try({cast} is null) is null then 1 end"
        marks = self._request.derive(batch, {column: is_failed}, [column]).column(column)
        failed = batch.column("id").filter(compute.is_valid(marks))
        if len(failed):
            before, first = self._failed.get(column, (0, str(failed[0])))
            self._failed[column] = (before + len(failed), first)
        return found

    def _of_unreadable(self, batch: pa.RecordBatch) -> dict[str, str]:
        """The entries of numbers that fail where they come to a value that could not be read."""
        known = set(batch.schema.names)
        found: dict[str, str] = {}
        for column, fields in self._computed.items():
            for name in fields:
                mark = _UNREADABLE + name
                if mark in known:
                    is_money = pa.types.is_decimal(batch.schema.field(name).type)
                    kind = "decimal(28, 10)" if is_money else "double"
                    failing = f"(case when {mark} then {_NO_NUMBER}::{kind} else {name} end)"
                    text = found.get(column, self._entries[column])
                    found[column] = re.sub(rf"\b{re.escape(name)}\b", failing, text)
        return found

    def notices(self) -> list[str]:
        name = self._request.dataset.name
        return [
            redact(
                f"{name}.{column}: {count} values cannot be computed from "
                f"{', '.join(self._computed[column])}, or are too large for the column, such as "
                f"that of record {first}; they are read as null."
            )
            for column, (count, first) in self._failed.items()
        ]


def with_unreadable(misfits: Misfits, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns of a batch with those that say where a value did not fit its type."""
    return columns | {_UNREADABLE + name: marks for name, marks in misfits.latest.items()}
