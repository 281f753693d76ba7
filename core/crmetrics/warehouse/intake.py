"""What goes into a load beside its rows, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

from msgspec import Struct, field

from crmetrics.errors import CrmetricsError

KEPT_REJECTIONS = 100_000
"""Rejected records of one load that are kept with their text; further ones are only counted."""

_RECORD_LENGTH = 2_000


class Rejection(Struct, frozen=True):
    """A record that was set aside: why, where it stands in the source, and its text."""

    reason: str
    place: str
    record: str = ""


class Deletion(Struct, frozen=True):
    """Records that the source no longer has; `at` = since when, None = not known. of: the column
    that holds these ids."""

    ids: tuple[str, ...]
    at: datetime | None = None
    of: str = "id"


class AccountAt(Struct, frozen=True):
    """Whose records were loaded, as the connector named it, and the address it was found at."""

    name: str
    at: str | None = None


class Intake(Struct):
    """One read of one dataset: what was asked for, and what the connector reports meanwhile.

    columns: the canonical columns that the read covers, the key among them. started: instant of the
    read. timezone: zone of instants without one. is_full: everything is read anew: because the user
    asked for it, or for a rule, a further column or a clock that was ahead. replaces: the rows
    of the read are all that the source has; others leave the dataset.
    may_replace: the same, unless the connector works with parts or keeps a state. former_rules:
    what is stored was made by other rules (`columns:`, options). begins_anew: by `sync --full`, and
    not only for a rule or a column: what the source gives no more is given up. retained: arrays of
    the ids that the source still has; None = it was not asked. retained_of: the column that holds
    those ids. account: whose records they are, where the connector names it. is_left_out: the
    project file leaves the dataset out; its rows go, and nothing is known of it any more.
    is_of_nobody: all is read again, and whose records they are is not known any more.
    """

    columns: tuple[str, ...]
    started: datetime
    timezone: str = "UTC"
    run_id: str = ""
    is_full: bool = False
    replaces: bool = False
    may_replace: bool = False
    former_rules: bool = False
    begins_anew: bool = False
    fingerprint: str = ""
    covers_from: date | None = None
    watermark: datetime | None = None
    state: Mapping[str, Any] | None = None
    account: AccountAt | None = None
    part: str | None = None
    parts: set[str] = field(default_factory=set)
    rejections: list[Rejection] = field(default_factory=list)
    rejected: int = 0
    deletions: list[Deletion] = field(default_factory=list)
    retained: list[Any] | None = None
    retained_of: str = "id"
    notices: list[str] = field(default_factory=list)
    is_left_out: bool = False
    is_of_nobody: bool = False

    @property
    def is_whole(self) -> bool:
        """True when rows that did not come leave the dataset; known when the read is over."""
        return self.replaces or (self.may_replace and not self.parts and self.state is None)

    def leave_out(self, option: str) -> None:
        """option: the one of the project file that does."""
        self.replaces = self.is_left_out = True
        self.notice(f"{option} leaves it out; what earlier reads gave is removed.")

    # What the connector calls, see crmetrics.plugin.ReadRequest.

    def save_state(self, state: Mapping[str, Any]) -> None:
        self.state = dict(state)

    def begin_part(self, part: str) -> None:
        self.part = part
        self.parts.add(part)

    def drop_part(self, part: str) -> None:
        self.parts.add(part)

    def reject(self, reason: str, *, where: str, record: str = "") -> None:
        self.rejected += 1
        if len(self.rejections) < KEPT_REJECTIONS:
            self.rejections.append(Rejection(reason, where, record[:_RECORD_LENGTH]))

    def delete(self, ids: Sequence[str], *, at: datetime | None = None, of: str = "id") -> None:
        if ids:
            self.deletions.append(Deletion(tuple(ids), at, of))

    def retain(self, ids: Any, *, of: str = "id") -> None:
        if self.retained is not None and of != self.retained_of:
            raise ValueError(f"ids of {self.retained_of} were retained, and now of {of}.")
        self.retained, self.retained_of = [*(self.retained or ()), ids], of

    def keep_unseen(self) -> None:
        self.replaces = self.may_replace = False

    def drop_unseen(self) -> None:
        self.replaces = True

    def notice(self, message: str) -> None:
        if message not in self.notices:
            self.notices.append(message)


class LoadReport(Struct, frozen=True):
    """One dataset of one source, as it was loaded or failed. All counts are records.

    fetched = landed + rejected + duplicates, always.
    fetched: records that the source gave. landed: those that stand in the warehouse now, in this or
    (outdated) in the newer version that was there; landed = inserted + updated + outdated.
    rejected: set aside with a reason. duplicates: further copies of a key within this load.
    deleted: records marked deleted because the source no longer has them. replaced: stored records
    that left because their part or the whole dataset was read again without them.
    rows: records of this source and dataset that the warehouse holds afterwards.
    columns: canonical columns that were delivered. error: why it failed; then nothing was kept.
    status absent: the source has no such dataset and never gave it, or it was given up by this read
    (`--full`, after a sync that had said so); error says why. dataset: empty for a source that
    failed before any was asked for.
    """

    sync_id: str
    source: str
    dataset: str
    started_at: datetime
    finished_at: datetime
    status: Literal["ok", "failed", "absent"] = "ok"
    is_full: bool = False
    fetched: int = 0
    landed: int = 0
    inserted: int = 0
    updated: int = 0
    outdated: int = 0
    rejected: int = 0
    duplicates: int = 0
    deleted: int = 0
    replaced: int = 0
    rows: int = 0
    columns: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    error: CrmetricsError | None = None

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    @property
    def place(self) -> str:
        """Source and dataset, for messages."""
        return f"{self.source}.{self.dataset}" if self.dataset else self.source
