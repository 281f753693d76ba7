"""Reading by queries: pages, lost locators, queries that are too slow or too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from crmetrics.plugin import Secret, SourceError, http
from crmetrics_salesforce.answers import unexpected
from crmetrics_salesforce.api import Api
from crmetrics_salesforce.errors import TOO_HEAVY, TOO_LONG, ApiError
from crmetrics_salesforce.misfits import Misfits, text_of
from crmetrics_salesforce.soql import Query, quoted

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_URI = 14_000  # URI and headers together may have 16,384 bytes
_JOINED_BYTES = 4 * 1024 * 1024
_NARROWEST = timedelta(minutes=1)
_BEGINNING = datetime(1999, 1, 1, tzinfo=UTC)  # nothing is older than Salesforce
_FRUITLESS = 5
_PAGE_ROWS = 2000


class Opened:
    """A query whose first page is here. total: rows of the whole query."""

    def __init__(self, query: Query, page: http.Response) -> None:
        self.query = query
        self.page = page
        self.total = _total(query, page)


class RestReader:
    """Rows of queries as batches of source fields, in the order of Id.

    The order lets a walk go on after its locator is lost, and rows that change meanwhile neither
    come twice nor fall out.
    """

    def __init__(self, api: Api, misfits: Misfits) -> None:
        self._api = api
        self._misfits = misfits

    def open(self, query: Query) -> Opened:
        """Ask for the first page. Raises ApiError."""
        return Opened(query, self._first_page(query, ""))

    def batches(self, query: Query, opened: Opened | None = None) -> Iterator[pa.RecordBatch]:
        """All rows, narrowed or cut into pieces where the org asks for it."""
        if is_too_long(query):
            yield from self._by_field_groups(query, _LONGEST_URI)
            return
        after = ""
        try:
            for batch in self._walk(query, opened):
                after = _last_id(batch) or after
                yield batch
        except ApiError as exc:
            if exc.status in TOO_LONG:
                yield from self._by_shorter(query, after, _length(query), exc)
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
        page = opened.page if opened else self._first_page(query, after)
        while True:
            walk = _Pages(self._api, page)
            before = after
            try:
                for batch in reader.batches(walk, joined_bytes=_JOINED_BYTES):
                    after = _last_id(batch) or after
                    yield batch
            except http.HttpError as exc:
                raise SourceError(f"the query of {query.object}: {exc}") from None
            if not walk.is_lost:
                return
            fruitless = fruitless + 1 if after == before else 0
            if fruitless >= _FRUITLESS:
                raise SourceError(
                    f"{query.object}: the session ends before a page is read, {fruitless} times in "
                    "a row. Look at the session settings of the org."
                )
            page = self._first_page(query, after)

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
        shortest = _shortest(rest)
        if longest <= shortest:
            raise SourceError(
                f"{query.object}: a query with one field only is still too long for what lies "
                f"before the org: {why} Let it pass longer addresses, shorten `where:` or "
                "`is_test:` of the project file, or set transport: bulk."
            )
        yield from self._by_field_groups(rest, max(longest // 2, shortest))

    def _by_field_groups(self, query: Query, longest: int) -> Iterator[pa.RecordBatch]:
        """The SELECT cut into groups of fields, joined by Id over the same closed range of ids.

        The range is pinned by the first group: without it, rows that come and go between the
        calls would shift the groups against each other.
        """
        groups, after = _field_groups(query, longest), ""
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
            yield from self._by_shorter(query, after, longest, exc)

    def _table(self, query: Query) -> pa.Table:
        return _alike(list(self._walk(query)), query)


class _Pages:
    """The bodies of a walk from its first page on. is_lost: the locator ended before the walk; the
    pages so far are good."""

    def __init__(self, api: Api, first: http.Response) -> None:
        self._api = api
        self._page = first
        self.is_lost = False

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield self._page.body
            link = http.member(self._page.body, "nextRecordsUrl")
            if not link:
                if http.member(self._page.body, "done") is False:
                    raise SourceError(
                        "Salesforce sent a page that is not the last (done: false) and names no "
                        "next one. Nothing of this read was kept; run again."
                    )
                return
            if not isinstance(link, str):
                raise SourceError(f"nextRecordsUrl of a page is no address but {link!r:.80}.")
            if not str(link).startswith("/") or str(link).startswith("//"):
                raise SourceError(
                    f"the next page of the query lies at {http.origin(str(link))}, expected a path "
                    "of the org; the token is not sent there."
                )
            # A locator belongs to the session that made it: a new token must not be tried on it.
            response = self._api.session.request(
                "GET", str(link), is_whole=True, token=self._page.token
            )
            if response.status == 401 or _is_expired(response):
                self._renew(response.token if response.status == 401 else None)
                self.is_lost = True
                return
            if not response.is_ok:
                raise self._api.refused("a page of the query", response)
            self._page = response

    def _renew(self, refused: Secret | None) -> None:
        tokens = self._api.session.tokens
        if refused is not None and tokens is not None and tokens.renew(refused) is None:
            raise SourceError(
                "the access token was refused in the middle of a read, and cannot be renewed. "
                "Give a fresh one, or choose a flow that renews tokens."
            )


def _total(query: Query, page: http.Response) -> int:
    """How many rows the whole query has."""
    found: Any = None
    with suppress(http.HttpError):
        found = http.member(page.body, "totalSize")
    if isinstance(found, int) and found >= 0:
        return found
    raise unexpected(f"the query of {query.object}", "totalSize: a number is due", page.excerpt())


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


def _is_expired(response: http.Response) -> bool:
    return response.status == 400 and b"INVALID_QUERY_LOCATOR" in response.body


def _last_id(batch: pa.RecordBatch) -> str:
    return str(batch.column("Id")[-1].as_py()) if batch.num_rows else ""


def is_too_long(query: Query) -> bool:
    """True when the URI would not be taken."""
    return _length(query) > _LONGEST_URI


def _length(query: Query) -> int:
    return len(urlencode({"q": query.soql(order="Id")}))


def _pinned_to(query: Query, names: Sequence[str]) -> Query:
    """A part of the fields, with a range of ids."""
    part = replace(query, types={name: query.types[name] for name in names})
    return part.within("Id >= '000000000000000000'", "Id <= '000000000000000000'")


def _shortest(query: Query) -> int:
    """The length of what no grouping of fields makes shorter."""
    names = [name for name in query.fields if name != "Id"]
    return max(_length(_pinned_to(query, part)) for part in [["Id"], *(["Id", n] for n in names)])


def _field_groups(query: Query, longest: int) -> list[Query]:
    """Queries with a part of the fields each, all with Id, all short enough."""
    groups: list[Query] = []
    waiting: list[str] = ["Id"]
    for name in query.fields:
        if name == "Id":
            continue
        if _length(_pinned_to(query, [*waiting, name])) > longest and len(waiting) > 1:
            groups.append(query.only(waiting))
            waiting = ["Id"]
        waiting.append(name)
    groups.append(query.only(waiting))
    if any(_length(group) > longest for group in groups):
        raise SourceError(
            f"{query.object}: the conditions of the query alone are longer than a query may be. "
            "Shorten `where:` or `is_test:` of the project file."
        )
    return groups


def _joined(batch: pa.RecordBatch, parts: list[pa.Table], query: Query) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    table = pa.Table.from_batches([batch])
    for part in parts:
        # Inner: a row that left between the calls is a later read's.
        table = table.join(part, keys="Id", join_type="inner")
    ordered = table.select(list(query.fields)).sort_by("Id").combine_chunks()
    yield from ordered.to_batches()
