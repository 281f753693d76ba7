"""One dataset, from the first call to the last batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa

from crmetrics.plugin import ReadRequest, SourceError, SourceStorage
from crmetrics_hubspot.account import Account
from crmetrics_hubspot.api import UnavailableError
from crmetrics_hubspot.conversations import Conversations
from crmetrics_hubspot.history import FLAGS, FOLLOWED, history_reader
from crmetrics_hubspot.leads import stage_entries
from crmetrics_hubspot.objects import Objects, Short
from crmetrics_hubspot.records import RecordReader, texts_of
from crmetrics_hubspot.sends import SendRead
from crmetrics_hubspot.streams import Stream
from crmetrics_hubspot.values import INSTANT, Misfits, compute, typed
from crmetrics_hubspot.walking import Walk, whole

_KEPT_ARCHIVED = 50_000
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Progress:
    """What is known of a dataset from its last read, and what this read adds.

    until: how far the last read came; refreshed: when it last went through all records. archived:
    object -> ids in the recycle bin. walks: object -> when the last walk through it began. filled:
    object -> which columns its records filled, and from what; None when an older state lacks it.
    made_of: object -> column -> the fields that it was filled from. stages: object -> fingerprint
    of its pipelines.
    """

    until: datetime | None = None
    refreshed: datetime | None = None
    archived: dict[str, list[str]] = field(default_factory=dict)
    walks: dict[str, str] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    filled: dict[str, str] | None = None
    made_of: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, request: ReadRequest) -> Progress:
        state: Any = {} if request.is_full else request.state
        return cls(
            _instant(state.get("until")),
            _instant(state.get("refreshed")),
            dict(state.get("archived") or {}),
            dict(state.get("walks") or {}),
            dict(state.get("stages") or {}),
            list(state.get("columns") or []),
            state.get("filled"),
            # Also when all is read anew for a further column or another rule.
            {} if request.begins_anew else dict(request.state.get("made_of") or {}),
        )

    def state(self) -> dict[str, Any]:
        return {
            "until": self.until.isoformat() if self.until else None,
            "refreshed": self.refreshed.isoformat() if self.refreshed else None,
            "archived": self.archived,
            "walks": self.walks,
            "stages": self.stages,
            "columns": self.columns,
            "filled": self.filled,
            "made_of": self.made_of,
        }


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


class DatasetRead:
    """Reads the records of a dataset: all, or those that changed, and what left."""

    def __init__(self, account: Account, request: ReadRequest, storage: SourceStorage) -> None:
        self._storage = storage
        self._walks: dict[str, Walk] = {}
        self._left_over: list[Walk] = []
        self._is_over = self._is_short = False
        self.is_whole = True
        self._account, self._request, self._started = account, request, request.started
        self._before = Progress.of(request)
        self.since = request.since or self._before.until
        last = self._before.refreshed
        is_due = account.config.is_walk_due(last, self._started)
        self.is_refresh = self.since is None or is_due
        self._further: Conversations | SendRead | None = None
        self._staged: list[str] = []
        self._state: dict[str, Any] = {}
        self._columns: list[str] = []
        self._filled: dict[str, str] = {}
        self._made_of: dict[str, dict[str, list[str]]] = {}
        self._refreshed: datetime | None = None
        self._now: dict[str, list[str]] = {}
        self._there_now: list[pa.Array[Any]] = []
        self._owner = "id"

    def records(self, streams: Sequence[Stream]) -> Iterator[pa.RecordBatch]:
        """The records of all streams; state is saved at the end."""
        there = self._there(streams)
        readers = [
            self._reader(stream, tuple(other.kind for other in there if other is not stream))
            for stream in there
        ]
        self._require_former_columns(readers)
        self._refresh_if_more(readers)
        self._refresh_if_redefined(set().union(*(reader.staged for reader in readers)))
        for reader in readers:
            yield from self._records_of(reader)
        self._save()

    def _there(self, streams: Sequence[Stream]) -> list[Stream]:
        """The streams whose object the account has; a dataset of one object needs it."""
        found = []
        for stream in streams:
            try:
                self._account.properties.of(stream.kind)
                found.append(stream)
            except UnavailableError as exc:
                if len(streams) == 1:
                    raise
                self.is_whole = False
                self._request.notice(f"{stream.kind} are not read: {exc}")
        return found

    def history(self) -> Iterator[pa.RecordBatch]:
        """The spans of property history; they leave with their record."""
        reader, kind = history_reader(self._account, self._request)
        self._refresh_if_redefined({kind})
        known = self._account.properties.of(kind)
        now = tuple(name for name in FLAGS.get(kind, ()) if name in known)
        names = ("hs_object_id", *now)
        objects = Objects(self._account.api, kind, names, FOLLOWED[kind])
        self._owner = reader.owner
        before = _instant(self._request.state.get("until")) if self.since is None else None
        yield from reader.batches(self._bodies(objects), self.since, stored_until=before)
        # What changed before they went into the bin was not read.
        yield from reader.batches(self._came_back(objects), _LONG_AGO)
        if self.is_refresh:
            self._there_now += [pa.array([], pa.string()), *reader.seen]
        reader.tell()
        self._save()

    def conversations(self) -> Iterator[pa.RecordBatch]:
        """The messages of conversations, beside those of the streams.

        A walk through e-mails and notes says nothing of them: what vanished is not looked for.
        """
        yield from self._read_further(Conversations(self._account, self._request, self._storage))

    def sends(self) -> Iterator[pa.RecordBatch]:
        """Who was sent marketing e-mails, from the log of their events; it forgets nobody."""
        yield from self._read_further(SendRead(self._account, self._request, self._storage))

    def _read_further(self, reader: Conversations | SendRead) -> Iterator[pa.RecordBatch]:
        """What is no object, with a state and kept pages of its own."""
        self.is_whole, self._further = False, reader
        yield from reader.batches()
        self._request.save_state({**self._state, **reader.state()})
        self._is_over = True

    # --- one object ------------------------------------------------------------------------------

    def _reader(self, stream: Stream, others: tuple[str, ...]) -> RecordReader:
        by_stage = stage_entries(self._account, stream)
        stream = replace(stream, entries={**stream.entries, **by_stage})
        return RecordReader(
            self._account,
            self._request,
            stream.kind,
            stream.all_entries,
            requires=stream.requires,
            siblings=others,
            by_stage=tuple(by_stage),
            since=self.since,
        )

    def _require_former_columns(self, readers: Sequence[RecordReader]) -> None:
        """A property that has disappeared would leave old values standing as if they were true; so
        would a column that is filled from less (the company, no longer through the contact)."""
        self._columns = sorted(set().union(*(reader.given for reader in readers)))
        self._made_of = {reader.kind: reader.made_of for reader in readers}
        before = set(self._before.columns) & set(self._request.columns)
        gone = set() if self.since is None else before - set(self._columns)
        whys = {reader.why_not(column) for reader in readers for column in gone}
        for reader in readers:
            lost = reader.lost(self._before.made_of.get(reader.kind, {}))
            gone |= lost.keys()
            whys |= set(lost.values())
        if gone:
            raise SourceError(
                f"{', '.join(sorted(gone))} could be read before and cannot any more: "
                f"{' '.join(sorted(whys - {''})) or 'unknown.'} Give the token access again, or "
                "accept the loss with `crmetrics sync --full`."
            )

    def _refresh_if_more(self, readers: Sequence[RecordReader]) -> None:
        """What the token did not reach at the last read is null, or missing, in what did not change
        since: an object or a column that is new is read of all records."""
        self._filled = {reader.kind: reader.filled for reader in readers}
        before = self._before.filled
        if before is None or self.is_refresh:
            return
        more = [kind for kind, now in self._filled.items() if before.get(kind) != now]
        if more:
            self.is_refresh = True
            self._request.notice(
                f"{', '.join(more)}: the token reaches other objects or columns than at the last "
                "read; all records are read again."
            )

    def _refresh_if_redefined(self, kinds: Iterable[str]) -> None:
        """What a stage means stands in each record: when it changes, all of them are read again,
        though they did not change themselves."""
        self._staged = sorted(kinds)
        before = self._before.stages
        if self.is_refresh or all(before.get(k, now) == now for k, now in self._stages().items()):
            return
        self.is_refresh = True
        self._request.notice(
            f"The pipelines of {', '.join(self._staged)} were changed in HubSpot since the last "
            "read; all records are read again."
        )

    def _stages(self) -> dict[str, str]:
        """Object -> fingerprint of its pipelines, for those on which this dataset rests."""
        return {kind: self._account.pipelines(kind).fingerprint for kind in self._staged}

    def _records_of(self, reader: RecordReader) -> Iterator[pa.RecordBatch]:
        objects = Objects(self._account.api, reader.kind, reader.properties)
        if self.is_refresh:
            self._there_now.append(pa.array([], pa.string()))  # should no batch come, all are gone
        for batch in self._all(objects, reader):
            self.keep(batch)
            yield batch
        reader.end()

    def keep(self, batch: pa.RecordBatch) -> None:
        """These records are still there: what no walk through all of them gives is gone for good.

        Without one of the objects nothing can be said of what is gone.
        """
        if self.is_refresh:
            self._there_now.append(batch.column("id"))

    def end(self) -> None:
        """All is read: what no walk gave is gone, unless a walk is in doubt."""
        if self.is_whole:
            for ids in self._there_now:
                self._request.retain(ids, of=self._owner)
        self._there_now.clear()

    def _fell_short(self, kind: str, what: str, found: int, total: int) -> None:
        self.is_whole, self._is_short = False, True
        self._request.notice(
            f"{kind}: the {what} gave {found} records, HubSpot's search counts {total}. Nothing is "
            "taken for removed; the next run walks through all of them again."
        )

    def _all(self, objects: Objects, reader: RecordReader) -> Iterator[pa.RecordBatch]:
        yield from reader.batches(self._bodies(objects))
        yield from self._left(objects, reader)

    def _bodies(self, objects: Objects) -> Iterator[bytes]:
        of_list = partial(self._fell_short, objects.kind, "list")
        of_search = partial(self._fell_short, objects.kind, "search for changes")
        if self.is_refresh or self.since is None:
            loaded = self._before.walks.get(objects.kind)
            walk = Walk(self._storage, self._request, objects, loaded, self._account.portal)
            self._walks[objects.kind] = walk
            return whole(walk, objects, of_search, of_list)
        # A run that was killed behind this dataset may have left its pages.
        self._left_over.append(Walk(self._storage, self._request, objects))
        return self._changed(objects, of_search)

    def _changed(self, objects: Objects, fell_short: Short) -> Iterator[bytes]:
        """What changed; all records of an object that HubSpot has no search for."""
        assert self.since is not None
        try:
            yield from objects.changed(self.since, self._request.until, fell_short)
        except UnavailableError:
            yield from objects.all()

    def _left(self, objects: Objects, reader: RecordReader) -> Iterator[pa.RecordBatch]:
        """The recycle bin: what is new in it, and what came back out of it."""
        here: list[str] = []

        def is_new(raw: pa.RecordBatch) -> Any:
            here.extend(texts_of(raw, "id"))
            if self.since is None:
                return pa.repeat(pa.scalar(True), raw.num_rows)
            (archived,) = typed(
                raw.select(["archivedAt"]), {"archivedAt": INSTANT}, Misfits(objects.kind)
            )
            return compute.fill_null(
                compute.greater_equal(archived, pa.scalar(self.since, INSTANT)), True
            )

        yield from reader.batches(objects.archived(), keeps=is_new)
        yield from reader.batches(self._restored(objects, here), at=self._started)

    def _came_back(self, objects: Objects) -> Iterator[bytes]:
        """The records that were in the recycle bin at the last read, and are no longer; rows of
        those that are there now are deleted."""
        plain = Objects(objects.api, objects.kind, ("hs_object_id",))
        here = [
            str(record["id"]) for body in plain.archived() for record in json.loads(body)["results"]
        ]
        self._request.delete(here, of=self._owner)
        return self._restored(objects, here)

    def _restored(self, objects: Objects, here: list[str]) -> Iterator[bytes]:
        """As above. here: the ids in the recycle bin now; they are remembered."""
        before = self._before.archived.get(objects.kind, [])
        self._now[objects.kind] = sorted(here, key=len)[:_KEPT_ARCHIVED]
        back = sorted(set(before) - set(here))
        for start in range(0, len(back), objects.page):
            yield objects.of(back[start : start + objects.page])

    def _save(self) -> None:
        refreshed = self._before.refreshed
        if self.is_refresh:  # pages of a walk that was gone on with are as old as its begin
            refreshed = min([self._started, *(walk.began for walk in self._walks.values())])
        if self._is_short:
            refreshed = None  # the next run walks through all
        walks = self._before.walks | {
            kind: walk.began.isoformat() for kind, walk in self._walks.items()
        }
        until = self._request.until or self._started
        self._state = Progress(
            until,
            refreshed,
            self._now,
            walks,
            self._stages(),
            self._columns,
            self._filled,
            self._made_of,
        ).state()
        self._refreshed = refreshed
        self._request.save_state(self._state)
        self._is_over = True

    def let_go(self) -> dict[str, datetime]:
        """The dataset is loaded, if it was read to its end: no page is kept any longer.

        When the dataset was last walked through, by its name; empty when it was not.
        """
        if not self._is_over:
            return {}
        for walk in (*self._walks.values(), *self._left_over):
            walk.done()
        if self._further is not None:
            self._further.done()
        return {self._request.dataset.name: self._refreshed} if self._refreshed else {}
