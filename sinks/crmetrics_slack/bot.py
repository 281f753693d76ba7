"""A report as a bot posts it: the message with its picture, the thread below it, and later its
corrections. Every step is kept before the next, so that a kill leaves nothing to guess."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crmetrics.plugin import (
    Delivery,
    Message,
    Receipt,
    SinkError,
    UnknownOutcomeError,
    chat,
)
from crmetrics_slack.api import POST_BUDGET, Api, Json, Refused
from crmetrics_slack.blocks import Look, laid_out, payload
from crmetrics_slack.threads import Reply, replies, restatement
from crmetrics_slack.upload import WAITS_S, Picture

log = logging.getLogger(__name__)

EVENT = "crmetrics_report"
_GONE = ("message_not_found", "thread_not_found")
_BAD_PICTURE = "slack_file"
_UNFIT_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
_UNFIT_TABLE = frozenset({"invalid_blocks", "invalid_attachments", "invalid_blocks_format"})


@dataclass(frozen=True, slots=True)
class Report:
    """The parts of one report as payloads. fingerprint: of the message, its picture aside."""

    message: Message
    look: Look
    replies: list[Reply]
    picture: Picture | None = None

    @classmethod
    def of(cls, message: Message, mentions: Mapping[str, str], *, has_chart: bool) -> Report:
        look = Look(mentions=mentions, has_thread=True)
        folded = laid_out(message, look).folded
        picture = Picture.of(message) if has_chart else None
        return cls(message, look, replies(message, folded, look, as_table=True), picture)

    def parent(self, file_id: str = "") -> Json:
        """The message; with its picture, or with courses of characters in its place."""
        look = self.look
        if file_id and self.picture is not None:
            look = replace(look, has_sparks=False, picture=self.picture.block(file_id))
        return payload(self.message, look)

    def plain_replies(self) -> list[Reply]:
        """The thread without table blocks."""
        folded = laid_out(self.message, self.look).folded
        return replies(self.message, folded, self.look, as_table=False)

    @property
    def fingerprint(self) -> str:
        said = json.dumps([self.parent(), self.replies], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(said.encode("utf-8")).hexdigest()[:16]


@dataclass
class Thread:
    """What is in the channel of one report.

    parts: name of a reply -> its `ts`. sending: the reply that was on its way when this was kept.
    """

    channel: str = ""
    ts: str = ""
    fingerprint: str = ""
    file_id: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    sending: str = ""

    @classmethod
    def kept(cls, receipt: Mapping[str, Any]) -> Thread:
        """What a former attempt or delivery left; empty for none."""
        details = receipt.get("details") or {}
        return cls(
            channel=details.get("channel", ""),
            ts=receipt.get("reference", ""),
            fingerprint=details.get("fingerprint", ""),
            file_id=details.get("file", ""),
            parts=dict(details.get("parts", {})),
            sending=details.get("sending", ""),
        )

    @property
    def is_unsure(self) -> bool:
        """Whether a reply may be there that is not known."""
        return bool(self.sending) or "" in self.parts.values()

    def receipt(self, destination: str, rows: int) -> Receipt:
        details = {
            "channel": self.channel,
            "fingerprint": self.fingerprint,
            "file": self.file_id,
            "parts": dict(self.parts),
            "sending": self.sending,
        }
        return Receipt(destination, rows, self.ts, details)


class Bot:
    """Carries out one delivery.

    upload: gives the id of a picture with a title, empty when that fails. repeats: what may have
    been posted is posted again.
    """

    def __init__(
        self,
        api: Api,
        delivery: Delivery,
        report: Report,
        *,
        upload: Callable[[Picture, str], str],
        channel: str,
        destination: str,
        repeats: bool,
        failed: Callable[[str], SinkError],
        sleep: Callable[[float], None],
    ) -> None:
        self._api, self._store, self._sleep = api, upload, sleep
        self._delivery, self._report = delivery, report
        self._channel, self._destination = channel, destination
        self._failed = failed
        self._thread = Thread.kept(delivery.previous)
        if self._thread.sending and not repeats:
            log.warning("a part of the report may be missing in its thread, and is not sent again")
            self._thread.parts[self._thread.sending] = ""  # it may be there; at most once
        self._thread.sending = ""
        self._has_changed = self._thread.fingerprint != report.fingerprint

    def deliver(self, on_rerun: str) -> Receipt:
        """Post, or bring what is there up to date."""
        try:
            if not self._thread.ts or (on_rerun == "new" and not self._delivery.is_resumed):
                self._thread = Thread()
                self._post_parent()
            elif on_rerun == "thread" and (self._delivery.told_by or not self._delivery.is_resumed):
                if self._post_below() or not self._post_again():
                    return self._receipt()
            elif self._has_changed and not self._update_parent():
                return self._receipt()
            self._bring_replies()
            self._tell_changes()
        except Refused as exc:
            raise self._failed(str(exc)) from None
        return self._receipt()

    # --- the message -------------------------------------------------------------------------

    def _post_parent(self) -> None:
        self._upload()
        sent = self._parent_body({"channel": self._channel, "metadata": self._metadata("0")})
        answer = self._send_parent("chat.postMessage", sent)
        thread = self._thread
        thread.channel, thread.ts = str(answer["channel"]), str(answer["ts"])
        thread.fingerprint = self._report.fingerprint
        self._keep()

    def _update_parent(self) -> bool:
        """Replace the message in place; where that is not allowed, the thread tells the changes.
        False when there is none, and none to come."""
        thread, former = self._thread, replace(self._thread)
        if self._delivery.restated or not thread.file_id:
            self._upload()
        thread.fingerprint = ""  # from here on the message may say either, and its replies too
        self._keep()
        sent = self._parent_body(
            {
                "channel": thread.channel,
                "ts": thread.ts,
                "metadata": self._metadata("0"),
            }
        )
        try:
            self._send_parent("chat.update", sent)
        except Refused as exc:
            if exc.error == "edit_window_closed":
                return True
            self._thread = former
            self._keep()
            if exc.error not in _GONE:
                raise
            return self._post_again()
        return True

    def _post_again(self) -> bool:
        """Post a message anew that somebody has deleted, if a figure of it was wrong."""
        if not self._delivery.restated:
            log.warning("the message of the report was deleted in Slack: it is left so")
            return False
        log.warning("the message of the report was deleted in Slack: it is posted anew")
        former, self._thread = self._thread, Thread()
        self._keep()  # from here on it is the new one that may be there
        try:
            self._post_parent()
        except UnknownOutcomeError:
            raise
        except (Refused, SinkError):
            self._thread = former
            self._keep()
            raise
        return True

    def _parent_body(self, head: Json) -> Json:
        return {**head, **self._report.parent(self._thread.file_id)}

    def _upload(self) -> None:
        self._thread.file_id = ""
        if self._report.picture is not None:
            title = self._report.message.title
            self._thread.file_id = self._store(self._report.picture, title)

    def _send_parent(self, method: str, body: Json) -> Json:
        """Send; a message whose blocks Slack does not take goes as its text alone."""
        try:
            return self._with_picture(method, body)
        except Refused as exc:
            if exc.error not in _UNFIT_BLOCKS:
                raise
            log.warning("the report goes out as text alone: %s", exc)
        return self._send(method, {name: body[name] for name in body if name != "blocks"})

    def _with_picture(self, method: str, body: Json) -> Json:
        """Send; while Slack cannot show the file yet, wait, and at last go without it."""
        for wait_s in (*WAITS_S, None):
            try:
                return self._send(method, body)
            except Refused as exc:
                is_picture = exc.error == "invalid_blocks" and (
                    not exc.details or _BAD_PICTURE in exc.details or "slack file" in exc.details
                )
                if not (self._thread.file_id and is_picture):
                    raise
            if wait_s is not None:
                self._sleep(wait_s)
        self._thread.file_id = ""
        return self._send(method, {**body, **self._report.parent()})

    # --- the thread --------------------------------------------------------------------------

    def _bring_replies(self) -> None:
        """Post the replies that are missing, update those that are there, take away the rest."""
        wanted = self._report.replies
        for number, reply in enumerate(wanted, start=1):
            self._bring(str(number), reply)
        numbers = {name for name in self._thread.parts if name.isdigit()}
        for name in sorted(numbers - {str(n + 1) for n in range(len(wanted))}, key=int):
            self._take_away(name)
        self._thread.fingerprint = self._report.fingerprint

    def _bring(self, name: str, reply: Reply) -> None:
        thread = self._thread
        known = thread.parts.get(name)
        if known == "":
            return  # it may be there, and is not to be repeated
        try:
            if known is None:
                self._reply(name, reply)
            elif self._has_changed:
                self._send("chat.update", {"channel": thread.channel, "ts": known, **reply})
        except Refused as exc:
            if exc.error in _UNFIT_TABLE and _has_table(reply):
                plain = self._report.plain_replies()[int(name) - 1]
                self._report.replies[:] = self._report.plain_replies()
                self._bring(name, plain)
            elif exc.error not in ("edit_window_closed", *_GONE):
                raise

    def _reply(self, name: str, reply: Reply) -> None:
        """Post one reply; that it is on its way is kept first, and when it surely did not arrive,
        that too."""
        thread = self._thread
        thread.sending = name
        self._keep()
        body = {
            "channel": thread.channel,
            "thread_ts": thread.ts,
            "metadata": self._metadata(name),
            "unfurl_links": False,
            "unfurl_media": False,
            **reply,
        }
        try:
            answer = self._send("chat.postMessage", body)
        except UnknownOutcomeError:
            raise
        except (Refused, SinkError):
            thread.sending = ""
            self._keep()
            raise
        thread.parts[name], thread.sending = str(answer["ts"]), ""
        self._keep()

    def _take_away(self, name: str) -> None:
        ts = self._thread.parts.pop(name)
        if not ts:
            return
        try:
            self._send("chat.delete", {"channel": self._thread.channel, "ts": ts})
        except Refused as exc:
            if exc.error not in ("message_not_found", "cant_delete_message"):
                raise

    def _tell_changes(self) -> None:
        """Say below the message which figures have changed; once for each new state of them."""
        name = f"restated-{chat.change_of(self._delivery)}"
        if self._delivery.restated and name not in self._thread.parts:
            self._reply(name, restatement(self._delivery.restated))

    def _post_below(self) -> bool:
        """The new report as replies to the old one, which stays as it was; False when that is
        gone."""
        name = f"report-{chat.change_of(self._delivery)}"
        self._upload()
        parts = [self._report.parent(self._thread.file_id), *self._report.replies]
        for number, reply in enumerate(parts):
            part = f"{name}-{number}"
            if part in self._thread.parts:
                continue
            try:
                self._reply(part, reply)
            except Refused as exc:
                if exc.error not in _GONE:
                    raise
                return False
        return True

    # --- sending -----------------------------------------------------------------------------

    def _send(self, method: str, body: Json) -> Json:
        is_new = method == "chat.postMessage"
        return self._api.call(
            method, body, is_idempotent=not is_new, budget=POST_BUDGET if is_new else ""
        )

    def _metadata(self, part: str) -> Json:
        """Finds a message again when the ledger does not know what became of it. part: `0` is the
        message itself, others its replies."""
        said = {"key": self._delivery.key, "part": part, "fingerprint": self._report.fingerprint}
        return {"event_type": EVENT, "event_payload": said}

    def _receipt(self) -> Receipt:
        return self._thread.receipt(self._destination, len(self._report.message.kpis))

    def _keep(self) -> None:
        self._delivery.keep(self._receipt())


def _has_table(reply: Reply) -> bool:
    return any(block["type"] == "table" for block in reply["blocks"])
