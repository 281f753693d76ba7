"""A walk through all records that goes on after the run was killed, or stopped at a limit.

The pages of a long list are kept beside the warehouse until the dataset is loaded. The next run
takes them from there, walks on from the last one, and then reads what changed since the walk began.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from crmetrics.plugin import ReadRequest, SourceError, SourceStorage
from crmetrics_hubspot.objects import Objects, Short

_SHORT = 10
"""Pages that are read again rather than kept."""

_LONGEST_LIFE = timedelta(days=3)
_LAG = timedelta(minutes=10)
_PERSONAL: Mapping[str, tuple[str, ...]] = {
    "contacts": ("email", "firstname", "lastname"),
    "companies": ("name", "domain"),
    "deals": ("dealname",),
    "tickets": ("subject", "content"),
}
"""What HubSpot gives of each record without being asked for it."""


class Walk:
    """One walk of one dataset through one object type.

    loaded: when the walk began that the dataset's state tells of: what is kept of it is done with.
    portal: whose records they are. began: the instant from which on changes may be missing in the
    pages. found: how many records the pages held, once all are read.
    """

    def __init__(
        self,
        storage: SourceStorage,
        request: ReadRequest,
        objects: Objects,
        loaded: str | None = None,
        portal: str | None = None,
    ) -> None:
        self._loaded, self._portal = loaded, portal
        self._request, self._objects = request, objects
        self.began = request.started
        self.found = 0
        # Addresses are looked at and forgotten: pages that hold them are not kept.
        self._is_private = "email" in objects.properties
        unasked = set(_PERSONAL.get(objects.kind, ())) - set(objects.properties)
        self._unasked = _texts_of(unasked) if unasked else None
        self._log = storage.pages(f"{request.dataset.name}-{objects.kind}")

    def bodies(self, fell_short: Short) -> Iterator[bytes]:
        """The pages of all records; those that an earlier run kept come first.

        fell_short: called when a search for what changed since then gave less than it counts.
        """
        began = self._kept_since()
        if began is not None:
            yield from self._gone_on(began, fell_short)
            return
        for body in self._walked(""):
            self.found += body.count(b'"archived":')
            yield body

    def _gone_on(self, began: datetime, fell_short: Short) -> Iterator[bytes]:
        """The pages of a walk that began then. What changed since comes twice, and counts once."""
        self.began = began
        there: set[str] = set()
        for body in self._further(began, fell_short):
            there.update(str(record["id"]) for record in json.loads(body)["results"])
            yield body
        self.found = len(there)

    def _further(self, began: datetime, fell_short: Short) -> Iterator[bytes]:
        after = ""
        for body, position in self._log.kept():
            after = position
            yield body
        self._request.notice(
            f"{self._objects.kind}: the walk that was interrupted on {began:%Y-%m-%d at %H:%M} UTC "
            "went on where it stopped."
        )
        if after:
            yield from self._walked(after)
        yield from self._objects.changed(began - _LAG, self._request.until, fell_short)

    def done(self) -> None:
        """The dataset is loaded: the pages are no longer needed."""
        self._log.delete()

    def _kept_since(self) -> datetime | None:
        """When the kept walk began; None when there is none that can be gone on with."""
        note = self._log.note
        if note.get("of") != self._fingerprint() or note["began"] == self._loaded:
            return None
        if self._request.is_full and not note.get("is_full"):
            return None  # who asks for everything again gets nothing that was read before
        began = datetime.fromisoformat(note["began"])
        return began if self._request.started - began <= _LONGEST_LIFE else None

    def _walked(self, start: str) -> Iterator[bytes]:
        waiting: list[tuple[bytes, str]] = []
        is_kept = bool(start)
        for body, position in self._objects.walk(start):
            if is_kept:
                self._log.append(self._cleared(body), position)
            elif not self._is_private:
                waiting.append((body, position))
            if not is_kept and len(waiting) >= _SHORT:
                self._begin(waiting)
                is_kept, waiting = True, []
            yield body

    def _begin(self, pages: list[tuple[bytes, str]]) -> None:
        note = {
            "of": self._fingerprint(),
            "began": self._request.started.isoformat(),
            "is_full": self._request.is_full,
        }
        self._log.begin(note)
        for body, position in pages:
            self._log.append(self._cleared(body), position)

    def _cleared(self, body: bytes) -> bytes:
        """A page without the names and texts that came unasked."""
        return self._unasked.sub(rb"\1null", body) if self._unasked else body

    def _fingerprint(self) -> str:
        """Changes when the pages would be others."""
        objects = self._objects
        asked = (objects.api.version, objects.kind, objects.properties, objects.history)
        return hashlib.sha256(json.dumps([*asked, self._portal]).encode()).hexdigest()[:16]


def _texts_of(names: Iterable[str]) -> re.Pattern[bytes]:
    """Matches these members of a JSON object with a text as their value."""
    listed = "|".join(re.escape(name) for name in sorted(names))
    return re.compile(rb'("(?:%s)"\s*:\s*)"(?:[^"\\]|\\.)*"' % listed.encode())


_ALLOWED_SHARE = 0.02
_ALLOWED = 20


def whole(walk: Walk, objects: Objects, of_search: Short, fell_short: Short) -> Iterator[bytes]:
    """The pages of a walk. Raises SourceError at their end when HubSpot's own count says that many
    are missing: a list that ended too early must not pass for the whole.

    of_search: as above. fell_short: called with what was found and counted when a few are missing.
    They may have been made or removed meanwhile, or the list may have ended early.
    """
    yield from walk.bodies(of_search)
    found = walk.found
    try:
        total = objects.count()
    except SourceError:
        return  # some objects cannot be searched, and so not counted
    if total - found > max(_ALLOWED, total * _ALLOWED_SHARE):
        walk.done()
        raise SourceError(
            f"the list of {objects.kind} ended after {found} records; HubSpot's search counts "
            f"{total}. Nothing of them is kept; run again."
        )
    if total > found:
        fell_short(found, total)
