"""A read request in memory: what the engine asks of a connector, and all that comes back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crmetrics.datasets import Dataset, canonical_datasets
from crmetrics.errors import SourceError
from crmetrics.extract.request import Request
from crmetrics.warehouse.fields import FieldMapper
from crmetrics.warehouse.intake import AccountAt, Deletion, Intake, Rejection

if TYPE_CHECKING:
    import pyarrow as pa

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
"""When every read of a test begins."""


class CollectingRequest(Request):
    """The engine's own request without a warehouse behind it, for tests of connectors.

        with CollectingRequest("opportunities", columns=["id", "amount"]) as request:
            table = request.collect(connector.read(request))
        assert not request.rejected

    columns: the canonical columns wanted, by default all; the key is always among them. What the
    connector reports stands in `rejected`, `deleted`, `notices`, `parts`, `dropped_parts`,
    `drops_unseen` and `saved_state`.
    """

    def __init__(
        self,
        dataset: Dataset | str,
        *,
        columns: Iterable[str] | None = None,
        mapping: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        is_full: bool = False,
        state: Mapping[str, Any] | None = None,
        timezone: str = "UTC",
        account: AccountAt | None = None,
    ) -> None:
        dataset = canonical_datasets()[dataset] if isinstance(dataset, str) else dataset
        wanted = {*(dataset.column_names if columns is None else columns), *dataset.key}
        # `source` is not the connector's to give: the engine adds it.
        names = tuple(name for name in dataset.column_names if name in wanted and name != "source")
        intake = Intake(
            columns=names,
            started=STARTED,
            timezone=timezone,
            is_full=is_full,
            begins_anew=is_full,
        )
        super().__init__(
            dataset,
            intake,
            FieldMapper(dataset, timezone),
            mapping=mapping,
            since=since,
            until=until,
            state=state,
            account=account,
        )
        self.parts: list[str] = []
        self.dropped_parts: list[str] = []
        self.batches: list[pa.RecordBatch] = []
        """The batches as the connector gave them, filled by `collect`."""

    # --- what the connector reported ---------------------------------------------------------

    @property
    def rejected(self) -> Sequence[Rejection]:
        return self.intake.rejections

    @property
    def deleted(self) -> Sequence[Deletion]:
        return self.intake.deletions

    @property
    def retained(self) -> list[str] | None:
        """All ids that the source was said to have still; None = it was not said."""
        if self.intake.retained is None:
            return None
        return [name for ids in self.intake.retained for name in ids.to_pylist()]

    @property
    def drops_unseen(self) -> bool:
        """Whether stored records that did not come were said to leave."""
        return self.intake.replaces

    @property
    def notices(self) -> Sequence[str]:
        return self.intake.notices

    @property
    def saved_state(self) -> Mapping[str, Any] | None:
        """What the connector wants to be given at the next read; None = it keeps no state."""
        return self.intake.state

    def save_state(self, state: Mapping[str, Any]) -> None:
        # The warehouse keeps the state as JSON: what JSON cannot hold must show in a test.
        super().save_state(json.loads(json.dumps(state)))

    def begin_part(self, part: str) -> None:
        self.parts.append(part)
        super().begin_part(part)

    def drop_part(self, part: str) -> None:
        self.dropped_parts.append(part)
        super().drop_part(part)

    # --- what a test asks ----------------------------------------------------------------------

    def collect(self, batches: Iterable[pa.RecordBatch]) -> pa.Table:
        """Everything that was read: the requested columns with canonical types.

        A column that a batch does not hold is null. Raises SourceError as the engine does: for an
        unknown column, a missing key, a value that does not fit.
        """
        import pyarrow as pa

        schema = self.dataset.arrow_schema(self.columns)
        found = []
        for batch in batches:
            if not isinstance(batch, pa.RecordBatch):
                raise SourceError(
                    f"expected batches of {self.dataset.name} as pyarrow.RecordBatch, found "
                    f"{type(batch).__name__}."
                )
            self.batches.append(batch)
            found.append(_completed(self._mapper.conform(batch, self.columns), schema))
        return pa.Table.from_batches(found, schema=schema)

    def following(self, *, since: datetime | None = None) -> CollectingRequest:
        """The request of the next read, with the state that this one saved and the account that it
        named."""
        return CollectingRequest(
            self.dataset,
            columns=self.columns,
            mapping=self.mapping,
            since=since,
            state=self.saved_state if self.saved_state is not None else self.state,
            timezone=self.intake.timezone,
            account=self.intake.account or self._account,
        )

    def close(self) -> None:
        """Release the connection that evaluated expressions and cast values."""
        self._mapper.close()

    def __enter__(self) -> CollectingRequest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _completed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    arrays: list[Any] = [
        batch.column(field.name)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
