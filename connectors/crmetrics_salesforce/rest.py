"""Reading by queries: walks that go on after a loss, queries that are too slow or too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from crmetrics.plugin import SourceError, http
from crmetrics_salesforce.api import Api
from crmetrics_salesforce.errors import TOO_HEAVY, TOO_LONG, ApiError
from crmetrics_salesforce.lengths import (
    LONGEST_URI,
    field_groups,
    length,
    needs_fewer_ids,
    shortest,
)
from crmetrics_salesforce.misfits import Misfits, text_of
from crmetrics_salesforce.query_pages import Opened, Pages, Tally
from crmetrics_salesforce.soql import Query, quoted

if TYPE_CHECKING:
    import pyarrow as pa

_NEVER_TOO_LONG = 1_000
_JOINED_BYTES = 4 * 1024 * 1024
_NARROWEST = timedelta(minutes=1)
_BEGINNING = datetime(1999, 1, 1, tzinfo=UTC)  # nothing is older than Salesforce
_FRUITLESS = 5
_PAGE_ROWS = 2000


class RestReader:
    """Rows of queries as batches of source fields, in the order of Id.

    The order lets a walk go on after its locator is lost, and rows that change meanwhile neither
    come twice nor fall out.
    """

    def __init__(self, api: Api, misfits: Misfits) -> None:
        self._api = api
        self._misfits = misfits
        self._longest = LONGEST_URI

    def is_too_long(self, query: Query) -> bool:
        """True when the URI would not be taken, by Salesforce or by what lies before it."""
        return length(query) > self._longest

    def open(self, query: Query) -> Opened:
        """Ask for the first page. Raises ApiError."""
        try:
            return Opened(query, self._first_page(query, ""))
        except ApiError as exc:
            if exc.status in TOO_LONG:
                self._learn(length(query))
            raise

    def _learn(self, refused: int) -> None:
        """Remember that a URI of this length was refused: no further one of it is tried.

        A short one may have been refused by mistake, and would be dear to believe.
        """
        self._longest = min(self._longest, max(refused, _NEVER_TOO_LONG) - 1)

    def batches(self, query: Query, opened: Opened | None = None) -> Iterator[pa.RecordBatch]:
        """All rows, narrowed or cut into pieces where the org asks for it."""
        if self.is_too_long(query):
            # At least one field at a time is tried, whatever was refused so far.
            least = min(shortest(query), LONGEST_URI)
            yield from self._in_parts(query, max(self._longest, least))
            return
        after = ""
        try:
            for batch in self._walk(query, opened):
                after = _last_id(batch) or after
                yield batch
        except ApiError as exc:
            if exc.status in TOO_LONG:
                self._learn(length(query))
                yield from self._by_shorter(query, after, length(query), exc)
            elif exc.code in TOO_HEAVY:
                yield from self._by_halves(query, after, exc)
            else:
                raise

    # --- a walk over pages ----------------------------------------------------------------------

    def _walk(self, query: Query, opened: Opened | None = None) -> Iterator[pa.RecordBatch]:
        after, fruitless = "", 0
        reader = http.JsonRecords(
            "records", query.types, misfit=partial(self._misfits.settled, query.object)
        )
        tally = Tally(query)
        while True:
            opened = opened or Opened(query, self._first_page(query, after))
            tally.ask(opened)
            walk = Pages(self._api, opened)
            before, opened = after, None
            try:
                for batch in reader.batches(walk, joined_bytes=_JOINED_BYTES):
                    tally.came += batch.num_rows
                    after = _last_id(batch) or after
                    yield batch
            except http.HttpError as exc:
                raise SourceError(f"the query of {query.object}: {exc}") from None
            if not walk.is_lost:
                is_one_page = walk.count == 1 and not before
                present = self._present_of_short(query, tally, after, is_one_page=is_one_page)
                if present <= tally.came:
                    return
                if after == before:  # what is said to lie behind did not come when asked for
                    raise tally.error(f", and counted once more there are {present:,}")
                tally.begin_again()
                continue
            fruitless = fruitless + 1 if after == before else 0
            if fruitless >= _FRUITLESS:
                raise SourceError(
                    f"{query.object}: the session ends before a page is read, {fruitless} times in "
                    "a row. Look at the session settings of the org."
                )

    def _present_of_short(
        self, query: Query, tally: Tally, after: str, *, is_one_page: bool
    ) -> int:
        """How many rows there are, asked once more where the pages hold fewer than the query
        counts; else as many as came.

        The cursor holds ids: a record that is purged between two pages is missing from the later
        one, rightly. Then the org counts no more rows than came, or more only because others were
        made meanwhile, which lie behind the last id. Raises SourceError when rows before it are
        missing.
        """
        tally.require_no_more()
        if not tally.lacks:
            return tally.came
        if is_one_page:
            raise tally.error()
        present = self._counted_again(query, tally)
        if present > tally.came:
            bound = (f"Id <= {quoted(after)}",) if after else ()
            before = self._counted_again(query, tally, *bound)
            if before > tally.came:
                raise tally.error(f", and counted once more there are {before:,}")
        return present

    def _counted_again(self, query: Query, tally: Tally, *more: str) -> int:
        """How many rows the org says it has now. Raises SourceError when it does not say."""
        try:
            return self._api.count(
                query.object, (*query.conditions, *more), all_rows=query.all_rows
            )
        except ApiError as exc:
            raise tally.error(f", and they could not be counted again ({exc})") from None

    def _first_page(self, query: Query, after: str) -> http.Response:
        more = [f"Id > {quoted(after)}"] if after else []
        return self._api.call(
            "GET",
            "queryAll" if query.all_rows else "query",
            what=f"the query of {query.object}",
            params={"q": query.soql(*more, order="Id")},
            headers={"Sforce-Query-Options": f"batchSize={_PAGE_ROWS}"},
        )

    # --- too slow, too long ---------------------------------------------------------------------

    def _by_halves(self, query: Query, after: str, why: ApiError) -> Iterator[pa.RecordBatch]:
        """The window cut in two; rows up to `after` have come already."""
        if query.window is None:
            raise why
        window = query.window
        lower = window.lower or _BEGINNING
        upper = window.upper or datetime.now(UTC) + timedelta(days=1)
        if upper - lower <= _NARROWEST:
            raise why
        middle = (lower + (upper - lower) / 2).replace(microsecond=0)
        rest = query.within(f"Id > {quoted(after)}") if after else query
        for low, high in ((lower, middle), (middle, upper)):
            yield from self.batches(rest.over(replace(window, lower=low, upper=high)))

    def _by_shorter(
        self, query: Query, after: str, longest: int, why: ApiError
    ) -> Iterator[pa.RecordBatch]:
        """URIs half as long as those that the edge refused; rows up to `after` have come already.

        Raises SourceError when the conditions and one field are refused too.
        """
        rest = query.within(f"Id > {quoted(after)}") if after else query
        least = shortest(rest)
        if longest <= least and not needs_fewer_ids(rest, longest - 1):
            raise SourceError(
                f"{query.object}: a query with one field only is still too long for what lies "
                f"before the org: {why} Let it pass longer addresses, shorten `where:` or "
                "`is_test:` of the project file, or set transport: bulk."
            )
        yield from self._in_parts(rest, max(longest // 2, min(least, longest - 1)))

    def _in_parts(self, query: Query, longest: int) -> Iterator[pa.RecordBatch]:
        """Queries with half of the list of values each, or with a part of the fields each."""
        if needs_fewer_ids(query, longest):
            for half in query.halves():
                yield from self.batches(half)
            return
        yield from self._by_field_groups(query, longest)

    def _by_field_groups(self, query: Query, longest: int) -> Iterator[pa.RecordBatch]:
        """The SELECT cut into groups of fields, joined by Id over the same closed range of ids.

        The range is pinned by the first group: without it, rows that come and go between the
        calls would shift the groups against each other.
        """
        groups, after = field_groups(query, longest), ""
        try:
            for batch in self._walk(groups[0]):
                if not batch.num_rows:
                    continue
                first, last = batch.column("Id")[0].as_py(), _last_id(batch)
                pinned = (f"Id >= {quoted(first)}", f"Id <= {quoted(last)}")
                parts = [self._table(group.within(*pinned)) for group in groups[1:]]
                yield from _joined(batch, parts, query)
                after = last
        except ApiError as exc:
            if exc.status not in TOO_LONG:
                raise
            self._learn(longest)
            yield from self._by_shorter(query, after, longest, exc)

    def _table(self, query: Query) -> pa.Table:
        return _alike(list(self._walk(query)), query)


def _alike(batches: Sequence[pa.RecordBatch], query: Query) -> pa.Table:
    """Batches as one table; a field that some hold as texts is text in all."""
    import pyarrow as pa

    kinds = dict(query.types)
    for batch in batches:
        kinds |= {f.name: f.type for f in batch.schema if pa.types.is_string(f.type)}
    schema = pa.schema(list(kinds.items()))
    return pa.Table.from_batches([_as(schema, batch, query) for batch in batches], schema=schema)


def _as(schema: pa.Schema, batch: pa.RecordBatch, query: Query) -> pa.RecordBatch:
    import pyarrow as pa

    columns: list[Any] = []
    for field in schema:
        column = batch.column(field.name)
        if column.type != field.type:
            texts = [text_of(value, query.types[field.name]) for value in column.to_pylist()]
            column = pa.array(texts, pa.string())
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _last_id(batch: pa.RecordBatch) -> str:
    return str(batch.column("Id")[-1].as_py()) if batch.num_rows else ""


def _joined(batch: pa.RecordBatch, parts: list[pa.Table], query: Query) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    table = pa.Table.from_batches([batch])
    for part in parts:
        # Inner: a row that left between the calls is a later read's.
        table = table.join(part, keys="Id", join_type="inner")
    ordered = table.select(list(query.fields)).sort_by("Id").combine_chunks()
    yield from ordered.to_batches()
