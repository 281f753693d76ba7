"""Pages of records as canonical batches of one dataset."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from crmetrics.plugin import ReadRequest, SourceError, did_you_mean, http
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.closing import DefaultCloseDates
from crmetrics_hubspot.computing import OwnColumns, with_unreadable
from crmetrics_hubspot.fields import (
    ENVELOPE_FIELDS,
    AddedFields,
    is_added,
    is_reached,
    properties_behind,
    with_through,
)
from crmetrics_hubspot.mapping import ENVELOPE, Entries, Entry, alternatives, fields_in
from crmetrics_hubspot.privacy import Asked, is_personal
from crmetrics_hubspot.properties import PropertyInfo
from crmetrics_hubspot.values import INSTANT, Misfits, arrow_type, compute, nulls, typed

MERGED = "hs_merged_object_ids"
_MERGED_CONTACTS = "hs_calculated_merged_vids"
_JOINED_BYTES = 4 * 1024 * 1024


class RecordReader:
    """Turns pages of one object type into batches of a dataset.

    entries: the connector's mapping. requires: fields of which one at least must have a value, or
    be true, for a record to belong to the dataset. siblings: the other objects of the dataset; what
    the project file maps need only be known to one of them. by_stage: columns whose fields come and
    go with the stages of a pipeline. since: records that changed since then and do not belong to
    the dataset are deleted from it; None at a first read.
    """

    def __init__(
        self,
        account: Account,
        request: ReadRequest,
        kind: str,
        entries: Entries,
        *,
        requires: tuple[str, ...] = (),
        siblings: tuple[str, ...] = (),
        by_stage: tuple[str, ...] = (),
        since: datetime | None = None,
    ) -> None:
        self._account, self._request, self.kind = account, request, kind
        self._known = account.properties.of(kind)
        self._asked = Asked(request, kind, self._is_personal)
        self._siblings, self._by_stage, self._since = siblings, by_stage, since
        self._left: set[str] = set()
        self._absent: list[str] = []
        self.lacking: dict[str, str] = {}
        self._entries = self._settled({**ENVELOPE, **entries})
        self._own = OwnColumns(request, self._entries)
        self._requires = tuple(
            name for name in requires if name in self._known or is_added(name, kind)
        )
        self._fields = self._wanted_fields()
        self._added = [name for name in self._fields if is_added(name, kind)]
        own = account.config.own(request.dataset.name)
        self._adding = AddedFields(account, kind, self._added, own.association_labels)
        self._misfits = Misfits(kind)
        # With `close_date` from elsewhere, or told to leave it out, there is nothing to watch.
        watched = self._entries.get("close_date") == "closedate" and kind == "deals"
        self._close_dates = DefaultCloseDates(account) if watched else None
        self.properties = self._properties()
        self._types = self._arrow_types()
        self._merging = [n for n in (MERGED, _MERGED_CONTACTS) if n in self.properties]

    def _is_personal(self, name: str) -> bool:
        return name in self._known and is_personal(self.kind, self._known, name)

    @property
    def given(self) -> set[str]:
        """The columns that these records fill in this account."""
        return {*self._entries, *self._asked.mapping}

    @property
    def filled(self) -> str:
        """Changes when other columns are filled, or from something else, in this account."""
        rules: list[Any] = [sorted(self._entries.items()), sorted(self._asked.mapping.items())]
        rules += [self._requires, self._adding.reach]
        return hashlib.sha256(json.dumps(rules).encode()).hexdigest()[:16]

    @property
    def made_of(self) -> dict[str, list[str]]:
        """Column -> the fields that the connector fills it from in this account."""
        return {
            column: [field for field in with_through(fields_in(text)) if self._has(field)]
            for column, text in self._entries.items()
        }

    def lost(self, before: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Column -> why it is filled from less than at a read before, whose `made_of` this is, or
        not at all; not where the project file fills it, nor where a stage was deleted. When all is
        read anew, rules may have changed: a property that is gone may not be wanted any more, what
        the token reached is."""
        gone = {
            column: next((field for field in fields if self._is_lost(field)), "")
            for column, fields in before.items()
            if (column in self._entries or column in self.lacking) and column not in self._by_stage
        }
        return {column: self._why(field) for column, field in gone.items() if field}

    def _is_lost(self, field: str) -> bool:
        is_asked = is_added(field, self.kind) or not self._request.is_full
        return is_asked and not self._has(field)

    def _has(self, field: str) -> bool:
        return has_field(field, self._known, self.kind, self._account)

    def why_not(self, column: str) -> str:
        """Why a wanted column is not filled; empty when it is."""
        return self._why(self.lacking[column]) if column in self.lacking else ""

    @property
    def staged(self) -> set[str]:
        """The objects whose pipelines say what these records are."""
        return self._adding.staged

    # --- what to ask for -----------------------------------------------------------------------

    def _settled(self, entries: Entries) -> dict[str, str]:
        """One entry per wanted column: the first alternative that the account can fill."""
        found: dict[str, str] = {}
        for column, entry in entries.items():
            if column not in self._asked.columns or column in self._asked.mapping:
                continue
            text, missing = settled(entry, self._known, self.kind, self._account)
            if text is None:
                self.lacking[column] = missing
            else:
                found[column] = text
        return found

    def _wanted_fields(self) -> tuple[str, ...]:
        """Fields of the settled entries and of the project file's, and those that are required."""
        fields = dict.fromkeys((*ENVELOPE_FIELDS, *self._requires))
        fields |= dict.fromkeys(self._request.fields_of(self._entries, self._asked.columns))
        for name in self._asked.fields:
            if name not in self._known and not is_added(name, self.kind):
                if not any(name in self._account.properties.of(kind) for kind in self._siblings):
                    raise self._unknown(name)
                self._absent.append(name)
        return tuple(name for name in fields if name not in self._absent)

    def _unknown(self, name: str) -> SourceError:
        dataset = self._request.dataset.name
        hint = did_you_mean(name, self._known)
        return SourceError(
            f"{dataset}: the project file maps {name!r}, which {self.kind} do not have in this "
            f"account. {hint}".rstrip()
        )

    def _properties(self) -> tuple[str, ...]:
        names = dict.fromkeys(name for name in self._fields if name in self._known)
        names |= dict.fromkeys(
            n for n in properties_behind(self._added, self.kind) if n in self._known
        )
        if "merged_into_id" in self._request.dataset or self.kind == "deals":
            names |= dict.fromkeys(n for n in (MERGED, _MERGED_CONTACTS) if n in self._known)
        return tuple(names)

    def _arrow_types(self) -> dict[str, pa.DataType]:
        dataset = self._request.dataset
        texts = {**self._entries, **self._asked.mapping}
        types: dict[str, pa.DataType] = {}
        for name in self._fields:
            if name in self._known and name not in ENVELOPE_FIELDS:
                word = re.compile(rf"\b{re.escape(name)}\b")
                uses = {dataset.column(c).type for c, text in texts.items() if word.search(text)}
                types[name] = arrow_type(self._known[name].type, set(uses))
        return types

    # --- batches -------------------------------------------------------------------------------

    def batches(
        self,
        bodies: Iterable[bytes],
        *,
        keeps: Callable[[pa.RecordBatch], Any] | None = None,
        at: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The records of these pages. keeps: chooses among the records as they came. at: when they
        were seen to have changed, where that is later than what they say."""
        fields: dict[str, pa.DataType] = dict.fromkeys(
            ("id", "updatedAt", "archivedAt"), pa.string()
        )
        fields["archived"] = pa.bool_()
        fields |= {f"properties.{name}": pa.string() for name in self.properties}
        pages = http.JsonRecords("results", fields)
        for raw in pages.batches(bodies, joined_bytes=_JOINED_BYTES):
            if keeps is not None:
                raw = raw.filter(keeps(raw))
            if raw.num_rows:
                yield from self._canonical(raw, at)

    def _canonical(self, raw: pa.RecordBatch, at: datetime | None) -> Iterator[pa.RecordBatch]:
        ids = texts_of(raw, "id")

        def texts(name: str) -> Any:
            return raw.column(f"properties.{name}")

        own = pa.RecordBatch.from_arrays(
            [texts(name) for name in self._types], names=list(self._types)
        )
        columns: dict[str, Any] = {
            "id": raw.column("id"),
            "archived": compute.fill_null(raw.column("archived"), False),
            "changed_at": _changed_at(raw, at),
        }
        columns |= self._adding.of(ids, columns["archived"].to_pylist(), texts)
        columns |= dict(zip(self._types, typed(own, self._types, self._misfits), strict=True))
        columns = with_unreadable(self._misfits, columns)
        columns |= {name: nulls(raw.num_rows, pa.string()) for name in self._absent}
        batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        batch = self._belonging(batch)
        if self._close_dates is not None:
            self._close_dates.look(batch)
        if batch.num_rows:
            yield self._own.derive(batch, self._asked.columns)
        yield from self._merged_away(raw, columns["changed_at"])

    def _belonging(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The records that belong to the dataset; those that have left it are remembered."""
        if not self._requires:
            return batch
        mask: Any = None
        for name in self._requires:
            column = batch.column(name)
            has = column if pa.types.is_boolean(column.type) else compute.is_valid(column)
            mask = has if mask is None else compute.or_(mask, has)
        mask = compute.fill_null(mask, False)
        found = batch.filter(mask)
        if self._since is not None:
            self._note_left(batch.filter(compute.invert(mask)), self._since)
            self._left.difference_update(self._ids(found))
        return found

    def _note_left(self, others: pa.RecordBatch, since: datetime) -> None:
        """Those that changed since the last read may have belonged to the dataset until then."""
        at = compute.greater_equal(others.column("changed_at"), pa.scalar(since, INSTANT))
        self._left.update(self._ids(others.filter(compute.fill_null(at, True))))

    def _ids(self, batch: pa.RecordBatch) -> list[str]:
        """The ids as the dataset has them."""
        return texts_of(self._own.derive(batch, ("id",)), "id") if batch.num_rows else []

    def _merged_away(self, raw: pa.RecordBatch, changed: Any) -> Iterator[pa.RecordBatch]:
        """A row for each id that was merged into one of these records."""
        rows: dict[str, tuple[str, Any]] = {}
        for name in self._merging:
            column = raw.column(f"properties.{name}")
            if column.null_count == len(column):
                continue
            for record, text, at in zip(
                texts_of(raw, "id"), column.to_pylist(), changed.to_pylist(), strict=True
            ):
                for old in re.findall(r"\d+", re.sub(r":\d+", "", text or "")):
                    if old != record:
                        rows[old] = (record, at)
        if rows:
            yield self._tombstones(rows)

    def _tombstones(self, rows: Mapping[str, tuple[str, Any]]) -> pa.RecordBatch:
        columns: dict[str, Any] = {"id": pa.array(list(rows), pa.string())}
        known = set(self._request.columns)
        if "is_deleted" in known:
            columns["is_deleted"] = pa.repeat(pa.scalar(True), len(rows))
        if "updated_at" in known:
            columns["updated_at"] = pa.array([at for _, at in rows.values()], INSTANT)
        if "merged_into_id" in known:
            columns["merged_into_id"] = pa.array([into for into, _ in rows.values()], pa.string())
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    # --- what to tell --------------------------------------------------------------------------

    def end(self) -> None:
        """All is read: what changed and belongs to the dataset no longer leaves it."""
        self._request.delete(sorted(self._left))
        self.tell()

    def tell(self) -> None:
        """Tell the user of columns that the account cannot fill, and of values that do not fit."""
        for column, name in self.lacking.items():
            self._request.notice(
                f"{self._request.dataset.name}.{column} is not supplied: {self._why(name)} Map "
                "another property under `columns:` if one holds it."
            )
        self._asked.tell()
        of_plans = self._adding.notices() if self._requires else ()
        of_values = (*self._misfits.notices(), *self._own.notices())
        for notice in (*of_values, *self._adding.remarks(), *of_plans):
            self._request.notice(notice)
        if self._close_dates is not None and self._close_dates.count:
            self._request.notice(self._close_dates.notice())

    def _why(self, name: str) -> str:
        if not name:
            return f"{self.kind} have no stage dates for it in this account."
        if is_added(name, self.kind):
            return f"the token does not reach what {name} is made from (see `crmetrics check`)."
        return f"{self.kind} have no property {name!r} in this account."


def settled(
    entry: Entry, known: Mapping[str, PropertyInfo], kind: str, account: Account
) -> tuple[str | None, str]:
    """The first alternative that records of this type can fill, else None; and what is missing for
    the very first of them, if anything is."""
    lacking = ""
    for text in alternatives(entry):
        missing = [field for field in fields_in(text) if not has_field(field, known, kind, account)]
        if not missing:
            return text, lacking
        lacking = lacking or missing[0]
    return None, lacking


def has_field(field: str, known: Mapping[str, PropertyInfo], kind: str, account: Account) -> bool:
    """Whether records of this type have a field, or the connector can add it."""
    return field in known or (is_added(field, kind) and is_reached(field, account))


def texts_of(raw: pa.RecordBatch, name: str) -> list[str]:
    """A column of texts without nulls."""
    return [str(text) for text in raw.column(name).to_pylist()]


def _changed_at(raw: pa.RecordBatch, at: datetime | None) -> Any:
    types = {"updatedAt": INSTANT, "archivedAt": INSTANT}
    own = raw.select(["updatedAt", "archivedAt"])
    updated, archived = typed(own, types, Misfits("records"))
    found = _later(updated, archived)
    return found if at is None else _later(found, pa.repeat(pa.scalar(at, INSTANT), raw.num_rows))


def _later(one: Any, other: Any) -> Any:
    """The later of two instants; a null is earlier than any."""
    is_other = compute.fill_null(compute.greater(other, one), False)
    return compute.if_else(compute.or_(is_other, compute.is_null(one)), other, one)
