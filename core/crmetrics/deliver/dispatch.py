"""Hand a delivery to every sink: each gets its own attempt, nothing is sent twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from crmetrics import export, stopping
from crmetrics.deliver.ledger import DeliveryRecord, DeliveryStatus
from crmetrics.deliver.past import Past
from crmetrics.deliver.terms import Outcome, Terms
from crmetrics.deliver.told import (
    fingerprint,
    is_regrouped,
    restated,
    rows_id,
    told,
    with_goals_before,
)
from crmetrics.deliver.whereabouts import Whereabouts
from crmetrics.errors import PLUGIN_ERRORS, CrmetricsError, SinkError, UnknownOutcomeError
from crmetrics.message import Message, Restated, with_note
from crmetrics.secrets import redact
from crmetrics.sink import Delivery, Receipt, Sink

_REDEFINED = (
    "This period was reported here before, by another definition or with another filter: its "
    "figures may differ for that reason"
)
_UNCLEAR_FOR = timedelta(hours=12)
"""How long an attempt that may have arrived makes runs fail that come to it again: long enough for
everybody who looks after the job, not until somebody does."""


def deliver(sinks: Mapping[str, Sink], delivery: Delivery, terms: Terms) -> list[Outcome]:
    """Deliver to each sink (by its name in the project file), in their order.

    delivery: its `key` and all that depends on the past are filled in per sink. One failing sink
    never stops the next: errors, also unexpected ones of a plugin, stand in the outcomes.

    A sink that is not idempotent gets a report again only when it has changed and the sink can
    say so (`Sink.why_not_again`). An attempt whose end is not known is settled by asking the
    destination, where that is possible, else by the sink's policy; never by guessing.
    """
    outcomes = []
    for name, sink in sinks.items():
        attempts = _attempts(name, sink, delivery, terms)
        ends = [one.preview() if terms.dry_run else one.run() for one in attempts]
        outcomes += [one for one in ends if not _is_nothing(one)] or ends[:1]
    return outcomes


def restates(
    sink: Sink, name: str, delivery: Delivery, terms: Terms, *, by_rows: bool = False
) -> bool:
    """Whether a report on an earlier period may be given to a sink again: to one that cannot
    replace it, when figures that were told there differ by the threshold or more, or, where it is
    brought up to date in place, when it shows other groups or rested on partial data and does no
    more; to any other, unless its place is taken by a later period. by_rows: rows that no figure of
    the message shows count as well.
    """
    # What the gate keeps back is news as well: the run says so.
    terms = replace(terms, resend=False, is_restatement=True, blocked="")
    try:
        attempts = _attempts(name, sink, delivery, terms)
        return any(one.has_news(by_rows=by_rows) for one in attempts)
    except PLUGIN_ERRORS:  # a broken sink is told of by the report on the current period
        return False


def _attempts(name: str, sink: Sink, delivery: Delivery, terms: Terms) -> list[_Attempt]:
    """One for all readers of the sink, or for each group of them who have heard the same."""
    groups: Sequence[tuple[str, ...]] = [()]
    with suppress(*PLUGIN_ERRORS):  # the attempt itself tells of a broken sink
        if sink.readers:
            groups = Whereabouts(name, sink, delivery, terms).asked().groups()
    return [_Attempt(name, sink, replace(delivery, readers=one), terms) for one in groups]


def _is_nothing(outcome: Outcome) -> bool:
    """Whether an attempt, or its preview, came to nothing new."""
    return outcome.status == "skipped" or (outcome.status == "previewed" and bool(outcome.note))


class _Attempt:
    """One delivery to one sink, or to some of its readers."""

    def __init__(self, name: str, sink: Sink, delivery: Delivery, terms: Terms) -> None:
        self._sink, self._delivery, self._terms = sink, delivery, terms
        self._ledger = terms.ledger
        self._outcome = Outcome(name, "failed", period=delivery.message.period_label)
        self._where = Whereabouts(name, sink, delivery, terms)
        self._shown: Message = delivery.message
        self._told: Mapping[str, Any] = {}
        # What the place was made of since it got a report of the job; None = it holds none.
        self._made: str | None = None
        self._moved_from = ""  # where its sink told the reports before this, its first there
        self._is_newer = False  # a figure differs from the last attempt that (maybe) arrived

    def has_news(self, *, by_rows: bool = False) -> bool:
        past = self._prepare()
        if self._sink.is_idempotent:
            return not self._why_not_back()
        is_news = bool(self._delivery.restated) or (by_rows and self._delivery.has_new_rows)
        if past.arrived is not None and self._sink.updates_in_place:
            before = past.arrived.told
            is_whole_now = bool(before.get("is_partial")) and not self._shown.is_partial
            is_news = is_news or is_whole_now or is_regrouped(self._shown, before)
        if is_news:
            return not self._sink.why_not_again(self._delivery)
        # The last attempt may have put one before it right, or not: the run says so.
        return any(self._is_other(one, by_rows=by_rows) for one in past.between)

    def preview(self) -> Outcome:
        """What would be sent; failed when the sink cannot even say that."""
        try:
            past = self._prepare()
            note = self._terms.blocked or self._why_not(past)
            text = self._sink.preview(self._delivery)
        except PLUGIN_ERRORS as exc:  # a plugin's bug must not stop the other sinks
            return self._failed(exc)
        note = f"would not be sent: {note}" if note else ""
        return replace(self._outcome, status="previewed", preview=text, note=note)

    def run(self) -> Outcome:
        """Send, unless that could send twice; every step is in the ledger before the next."""
        try:
            past = self._prepare()
            if self._terms.blocked:
                self._record("blocked", error=self._terms.blocked)
                return replace(self._outcome, status="blocked", note=self._terms.blocked)
            past = self._settled(past)
            note = self._why_not(past)
            if note:
                is_unclear = self._is_unclear(past)
                return replace(
                    self._outcome, status="unknown" if is_unclear else "skipped", note=note
                )
        except PLUGIN_ERRORS as exc:  # as above
            return self._failed_before(exc)
        # Ended between sending and noting it, the next run would not know what arrived.
        with stopping.held():
            return self._send_and_note()

    def _send_and_note(self) -> Outcome:
        try:
            self._made = self._made_since()
            if self._ledger is not None and not self._sink.is_idempotent:
                self._moved_from = self._ledger.moved_from(self._where.place)
            self._record("started", self._kept())
        except PLUGIN_ERRORS as exc:  # as above
            return self._failed_before(exc)
        outcome = self._send()
        try:
            error = str(outcome.error) if outcome.error else ""
            self._record(_recorded_status(outcome), outcome.receipt, error)
        except Exception as exc:  # noqa: BLE001 - it was sent; the other sinks wait for their turn
            return replace(outcome, error=outcome.error or self._failed(exc).error)
        return outcome

    # --- the past --------------------------------------------------------------------------------

    def _prepare(self) -> Past:
        """Where it goes, under which key, and what is there already."""
        delivery, where = self._delivery, self._where.asked()
        self._where = where
        message = delivery.message
        if self._ledger is None:
            key, past = where.key, Past()
        else:
            # What is not repeated because it may have arrived has told its owners, too.
            maybe = not self._sink.repeats_unknown
            told_before = self._ledger.told_before(
                where.place, delivery.period_start, or_maybe=maybe, others=where.beside
            )
            message = with_goals_before(message, told_before)
            key, past, is_redefined = where.past(self._ledger, message)
            if is_redefined:
                message = with_note(message, _REDEFINED)
        self._outcome = replace(self._outcome, destination=where.place.destination, key=key)
        shown = self._sink.shown(message)
        self._told, self._shown = {**told(shown), "report": where.report}, shown
        if self._sink.readers:
            self._told = {**self._told, "to": list(delivery.readers or self._sink.readers)}
        rows = rows_id(delivery.results) if self._sink.sends_rows else ""
        if rows:
            self._told = {**self._told, "rows": rows}
        self._delivery = replace(delivery, key=key, message=message, rows_id=rows, keep=self._keep)
        return self._look_back(past)

    def _look_back(self, past: Past) -> Past:
        """Tell the delivery what arrived before, and which of its figures have changed. Returns the
        past without another report that may have arrived and would have said the same."""
        self._compare(past)
        while past.pending and self._is_pending_of_other(past) and not self._is_to_be_undone():
            past = past.without(past.pending.key)
            self._compare(past)
        goals, known = told(self._shown)["goals"], self._goals_known(past)
        self._delivery = replace(
            self._delivery,
            previous=dict(past.arrived.receipt) if past.arrived is not None else {},
            goals_told=(goals if self._terms.is_restatement else known) or {},
            is_resumed=self._is_missing_some(past),
        )
        # The span of a goal is judged to now, not to the end of an earlier period: its owner was
        # told of the state in that period's own report.
        is_kept = self._terms.is_restatement and known is not None
        self._told = {**self._told, "goals": known if is_kept else goals}
        return past

    def _goals_known(self, past: Past) -> Mapping[str, str] | None:
        """How the goals stood when their owners were told last, by this report as far as that
        counts; else, of an earlier period, by the one before it. None where older versions did not
        note it."""
        # What is not repeated because it may have arrived has told them, too.
        maybe = None if self._sink.repeats_unknown else past.pending
        last = maybe or past.arrived
        if last is not None:
            return last.told.get("goals")
        before = {line.name: line.goal_before for line in self._shown.kpis}
        is_restatement = self._terms.is_restatement
        return {name: one for name, one in before.items() if one} if is_restatement else {}

    def _is_to_be_undone(self) -> bool:
        """Whether what may have arrived reads otherwise; where it is repeated, also what may have
        arrived before the last of it."""
        return self._delivery.is_correction if self._sink.repeats_unknown else self._is_newer

    def _is_pending_of_other(self, past: Past) -> bool:
        """Whether what may have arrived is a report on the period by another definition."""
        return past.pending is not None and past.pending.key != self._outcome.key

    def _is_missing_some(self, past: Past) -> bool:
        """Whether a part of what arrived, and is still right, is missing there. A reader who lacks
        it has not heard it; a report by another definition is not finished."""
        if past.arrived is None or self._sink.is_idempotent or self._sink.readers:
            return False
        if past.arrived.key != self._outcome.key or self._delivery.is_correction:
            return False
        if past.pending is not None and not self._sink.repeats_unknown:
            return False
        return bool(past.arrived.receipt.get("missing"))

    def _compare(self, past: Past) -> None:
        """Which figures read differently than they were told, or than an attempt that may have
        arrived told them: its readers must not keep what is wrong. `was` is what surely arrived."""
        changed, told_by, has_new_rows = list[Restated](), "", False
        # What is sent until it surely arrived has to undo all that may have.
        between = past.between if self._sink.repeats_unknown else ()
        for record in (past.arrived, *between, past.pending):
            if record is None:
                continue
            named = {one.title for one in changed}
            found = restated(self._shown, record.told, self._terms.threshold)
            changed += [one for one in found if one.title not in named]
            told_by = told_by or record.run_id
            is_other = self._has_other_rows(record)
            has_new_rows = has_new_rows or is_other
            self._is_newer = bool(found) or is_other
        self._delivery = replace(
            self._delivery, restated=tuple(changed), told_by=told_by, has_new_rows=has_new_rows
        )

    def _is_other(self, record: DeliveryRecord, *, by_rows: bool) -> bool:
        """Whether a report said something else than this one says."""
        changed = restated(self._shown, record.told, self._terms.threshold)
        return bool(changed) or (by_rows and self._has_other_rows(record))

    def _has_other_rows(self, record: DeliveryRecord) -> bool:
        before, now = record.told.get("rows"), self._delivery.rows_id
        if not (before and now) or before == now:
            return False
        return self._terms.moved(self._delivery, record.recording)

    def _settled(self, past: Past) -> Past:
        """Find out what became of an attempt without an end, where the destination can be asked."""
        if past.pending is None or self._sink.is_idempotent or self._is_pending_of_other(past):
            return past
        arrived = dict(past.arrived.receipt) if past.arrived is not None else {}
        asked = replace(self._delivery, previous=dict(past.pending.receipt), arrived=arrived)
        found = self._sink.settle(asked)
        if found.state == "absent":
            past = self._look_back(past.without(self._outcome.key))
        if found.state == "arrived" and found.receipt is not None:
            before = asdict(found.receipt)
            told_by = past.arrived.run_id if past.arrived else ""
            self._delivery = replace(
                self._delivery, previous=before, is_resumed=True, told_by=told_by
            )
        return past

    def _is_unclear(self, past: Past) -> bool:
        """Whether an attempt that nobody knows the end of is young enough to be somebody's task."""
        if past.pending is None or self._sink.is_idempotent or self._sink.repeats_unknown:
            return False
        return self._terms.now() - past.pending.at < _UNCLEAR_FOR

    def _why_not(self, past: Past) -> str:
        """Why a sink is not asked to send; empty = it is."""
        if self._delivery.is_resumed:
            return ""
        if self._sink.is_idempotent:
            return self._why_not_back()
        if past.pending is not None and not self._may_follow():
            at = export.instant(past.pending.at)
            again = "`--date D --resend`" if self._terms.is_restatement else "`--resend`"
            return (
                f"an attempt at {at} by run {past.pending.run_id} may have arrived; it is not "
                f"repeated (on_unknown: at_most_once). Look there, then {again} if it did not"
            )
        if past.arrived is None:
            if self._delivery.is_correction or not self._terms.is_restatement:
                return ""
            return "the period was never surely reported there; `--date D` reports it"
        known = f"delivered before, at {export.instant(past.arrived.at)} by run"
        known = f"{known} {past.arrived.run_id}"
        is_same = past.arrived.fingerprint in ("", fingerprint(self._shown))
        if is_same and not self._delivery.is_correction:
            return known
        reason = self._sink.why_not_again(self._delivery)
        return f"{known}; {reason}" if reason else ""

    def _may_follow(self) -> bool:
        """Whether something may be sent after an attempt that may have arrived: to repeat it, or to
        correct a figure of it. What was never attempted cannot arrive twice."""
        is_correction = self._is_newer and not self._sink.why_not_again(self._delivery)
        return self._sink.repeats_unknown or is_correction

    def _why_not_back(self) -> str:
        """Why a destination that holds one period does not go back to this one; empty = it does."""
        if self._ledger is None or self._terms.resend:
            return ""
        if not self._sink.holds_one_period(self._delivery):
            return ""
        held = self._ledger.held(self._where.place)
        if held is None or held[0] <= self._delivery.period_start:
            return ""
        if held[1] > self._terms.now().date() + timedelta(days=1):
            return ""  # noted by a clock that was wrong
        return (
            f"it holds a later period (from {held[0]}) and does not go back; "
            "`--date D --resend` puts this one in its place"
        )

    # --- sending ---------------------------------------------------------------------------------

    def _send(self) -> Outcome:
        try:
            receipt = self._sink.write(self._delivery)
            if not isinstance(receipt, Receipt):
                raise TypeError(f"`write` returned {receipt!r}, expected a Receipt")
        except UnknownOutcomeError as exc:
            return replace(self._failed(exc), status="unknown")
        except SinkError as exc:
            return self._failed(exc)
        except PLUGIN_ERRORS as exc:  # how far a plugin with a bug came is unknown
            return replace(self._failed(exc), status="unknown")
        made = receipt.made or self._made
        note = self._told_as_gone(made) if made and self._made is not None else self._told_as_new
        delivered = replace(self._outcome, status="delivered", receipt=receipt, note=note)
        if receipt.missing:
            delivered = replace(delivered, error=SinkError(redact(receipt.missing)))
        return delivered

    def _made_since(self) -> str | None:
        """What of a place that keeps several periods was made anew since the job delivered there;
        None where it never did."""
        if self._ledger is None or not self._sink.is_idempotent:
            return None
        if self._sink.holds_one_period(self._delivery):
            return None
        return self._ledger.made_since(self._where.place)

    @property
    def _told_as_new(self) -> str:
        if not self._moved_from:
            return ""
        return (
            f"the first report of job {self._delivery.job} there; the sink told {self._moved_from} "
            "before. If both are one place, it may have this report twice, and corrections of "
            "earlier ones are not told"
        )

    def _told_as_gone(self, made: str) -> str:
        return (
            f"{made} was gone, with what earlier reports brought there, and is made anew with this "
            f"period alone; `crmetrics run {self._delivery.job} --date D` brings another one back"
        )

    def _failed(self, exc: BaseException) -> Outcome:
        if isinstance(exc, CrmetricsError):
            return replace(self._outcome, status="failed", error=exc)
        error = SinkError(
            f"sink {self._outcome.sink!r} ({type(self._sink).__name__}) failed unexpectedly: "
            f"{type(exc).__name__}: {redact(str(exc))}"
        )
        error.__cause__ = exc
        return replace(self._outcome, status="failed", error=error)

    def _failed_before(self, exc: BaseException) -> Outcome:
        """Failed before anything was sent; noted as far as that is possible, like every attempt."""
        outcome = self._failed(exc)
        if not outcome.key:
            self._outcome = outcome = replace(outcome, key=self._where.key)
        with suppress(Exception):  # the ledger itself may be what failed
            self._record("failed", error=str(outcome.error))
        return outcome

    # --- recording -------------------------------------------------------------------------------

    def _keep(self, receipt: Receipt) -> None:
        self._record("started", receipt)

    def _kept(self) -> Receipt | None:
        """What is known of the destination before anything is sent; a kill must not lose it."""
        before = self._delivery.previous
        is_continued = self._delivery.is_resumed or self._sink.updates_in_place
        return Receipt(**{**before, "made": ""}) if before and is_continued else None

    def _record(
        self, status: DeliveryStatus, receipt: Receipt | None = None, error: str = ""
    ) -> None:
        if self._ledger is None:
            return
        delivery = self._delivery
        self._ledger.record(
            DeliveryRecord(
                key=self._outcome.key,
                run_id=delivery.run_id,
                job=delivery.job,
                sink=self._outcome.sink,
                destination=self._outcome.destination,
                status=status,
                at=self._terms.now(),
                receipt=_kept(receipt),
                error=redact(error),
                period_start=delivery.period_start,
                period_end=delivery.period_end,
                grain=delivery.grain,
                fingerprint=fingerprint(self._shown),
                told=self._told,
                channel=self._where.place.channel,
                recording=self._terms.recording,
            )
        )


def _recorded_status(outcome: Outcome) -> DeliveryStatus:
    if outcome.status == "delivered":
        return "delivered"
    return "unknown" if outcome.status == "unknown" else "failed"


def _kept(receipt: Receipt | None) -> Mapping[str, Any]:
    if receipt is None:
        return {}
    kept = {**asdict(receipt), "destination": redact(receipt.destination)}
    return {name: one for name, one in kept.items() if one or name not in ("made", "missing")}
