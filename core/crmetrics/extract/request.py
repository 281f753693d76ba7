"""The concrete read request: what the engine asks of a connector for one dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from crmetrics.datasets import Dataset
from crmetrics.errors import SourceError, did_you_mean
from crmetrics.warehouse.fields import FieldMapper
from crmetrics.warehouse.intake import AccountAt, Intake

if TYPE_CHECKING:
    import pyarrow as pa


class Request:
    """One read of one dataset; what `crmetrics.plugin.ReadRequest` promises.

    mapping: entries of the project file for columns of this read. account: whose records are
    loaded, None = it was never named. stored: gives the rows of earlier reads, None = there are
    none. goes_on: they are by the same rules and count for this read. forgotten: what is told when
    they are asked for and do not, unless all begins anew. What the connector reports goes into the
    intake, which is committed with the rows.
    """

    def __init__(
        self,
        dataset: Dataset,
        intake: Intake,
        mapper: FieldMapper,
        *,
        mapping: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        state: Mapping[str, Any] | None = None,
        account: AccountAt | None = None,
        stored: Callable[..., Iterator[pa.RecordBatch]] | None = None,
        goes_on: bool = True,
        forgotten: str = "",
    ) -> None:
        self.dataset = dataset
        self.mapping: Mapping[str, str] = dict(mapping or {})
        self.since = since
        self.until = until
        self.state: Mapping[str, Any] = dict(state or {})
        self.intake = intake
        self._mapper = mapper
        self._account = account
        self._stored, self._goes_on = stored, goes_on
        self._forgotten = "" if goes_on or intake.begins_anew else forgotten

    @property
    def columns(self) -> tuple[str, ...]:
        return self.intake.columns

    @property
    def started(self) -> datetime:
        return self.intake.started

    @property
    def is_full(self) -> bool:
        return self.intake.is_full

    @property
    def begins_anew(self) -> bool:
        return self.intake.begins_anew

    @cached_property
    def source_fields(self) -> tuple[str, ...]:
        """Fields that the mapping reads, each once, in the order of the mapping."""
        fields: dict[str, None] = {}
        for column, text in self.mapping.items():
            fields.update(dict.fromkeys(self._mapper.parse(column, text).fields))
        return tuple(fields)

    def evaluate(self, batch: pa.RecordBatch, columns: Sequence[str] = ()) -> pa.RecordBatch:
        """The mapped columns (all, or those named) of a batch of source fields."""
        for name in columns:
            if name not in self.mapping:
                raise SourceError(
                    f"{self.dataset.name}: the project file maps no column {name!r}. "
                    f"{did_you_mean(name, self.mapping)}".rstrip()
                )
        chosen = columns or tuple(self.mapping)
        return self._mapper.evaluate(batch, {name: self.mapping[name] for name in chosen})

    def fields_of(self, fields: Mapping[str, str], columns: Sequence[str] = ()) -> tuple[str, ...]:
        """The source fields behind the wanted columns (all, or those named), each once.

        fields: the connector's own entries, canonical column -> source field or SQL expression;
        the project file's entries come before them.
        """
        found: dict[str, None] = {}
        for column, text in self._chosen(fields, columns).items():
            found.update(dict.fromkeys(self._mapper.parse(column, text).fields))
        return tuple(found)

    def derive(
        self, batch: pa.RecordBatch, fields: Mapping[str, str], columns: Sequence[str] = ()
    ) -> pa.RecordBatch:
        """The wanted columns (all, or those named) that the project file or `fields` gives."""
        return self._mapper.evaluate(batch, self._chosen(fields, columns))

    def _chosen(self, fields: Mapping[str, str], columns: Sequence[str]) -> dict[str, str]:
        entries = {**fields, **self.mapping}
        return {name: entries[name] for name in columns or self.columns if name in entries}

    def name_account(
        self, account: str | None, *, at: str | None = None, is_required: bool = False
    ) -> bool:
        former = self._account
        if account is None:
            self.intake.is_of_nobody = is_required and self.begins_anew
            if not is_required or former is None:
                return True
            if not self.begins_anew:
                raise SourceError(
                    f"the source does not say whose records it gives, and what is loaded came from "
                    f"{former.name}; those of another could be mixed with them. Let the access "
                    "read the account, or start anew by `crmetrics sync --full`."
                )
            self.intake.replaces = True
            return False
        self.intake.account = AccountAt(account, at)
        if former is None or former.name == account:
            return True
        has_moved = at is not None and former.at is not None and at != former.at
        if not (self.begins_anew or has_moved):
            raise SourceError(
                f"the access is to {account}, and what is loaded came from {former.name}; their "
                f"records would be mixed. Give access to {former.name}, or start anew with "
                f"{account} by `crmetrics sync --full`."
            )
        self.intake.replaces = True
        return False

    def save_state(self, state: Mapping[str, Any]) -> None:
        self.intake.save_state(state)

    def begin_part(self, part: str) -> None:
        self.intake.begin_part(part)

    def drop_part(self, part: str) -> None:
        self.intake.drop_part(part)

    def reject(self, reason: str, *, where: str, record: str = "") -> None:
        self.intake.reject(reason, where=where, record=record)

    def delete(self, ids: Sequence[str], *, at: datetime | None = None, of: str = "id") -> None:
        self.intake.delete(ids, at=at, of=self._column(of))

    def retain(self, ids: pa.Array[Any], *, of: str = "id") -> None:
        self.intake.retain(ids, of=self._column(of))

    def _column(self, name: str) -> str:
        if name != "id" and name not in self.dataset:
            raise ValueError(f"{self.dataset.name} has no column {name!r} to find records by.")
        return name

    def stored(
        self,
        columns: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        of: str = "id",
        even_former: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        if self._stored is not None and (self._goes_on or even_former):
            yield from self._stored(columns, ids=ids, of=self._column(of))
        elif self._forgotten:
            self.notice(self._forgotten)

    def keep_unseen(self) -> None:
        self.intake.keep_unseen()

    def drop_unseen(self) -> None:
        self.intake.drop_unseen()

    def notice(self, message: str) -> None:
        self.intake.notice(message)


@contextmanager
def trial(
    dataset: Dataset, mapping: Mapping[str, str], *, timezone: str, now: datetime
) -> Iterator[Request]:
    """A request that loads nothing, to look at `columns:` before anything is read."""
    names = tuple(name for name in dataset.column_names if name != "source")
    mapper = FieldMapper(dataset, timezone)
    try:
        intake = Intake(columns=names, started=now, timezone=timezone)
        yield Request(dataset, intake, mapper, mapping=mapping)
    finally:
        mapper.close()
