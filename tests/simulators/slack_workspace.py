"""A local Slack workspace: the Web API as a bot sees it, with its rules, refusals and delays.

    with SlackWorkspace() as slack:
        token = slack.bot()
        ...call slack.base_url + "/api/chat.postMessage"...
        [message] = slack.general.messages

Every refusal is HTTP 200 with `ok: false`. Stricter than Slack, it takes no `<`, `>` or `&` that is
no whole token or entity. Only chat.postMessage takes a channel by its name. slack_sdk's WebClient
works against it.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

from simulators.messages import Answer, Call
from simulators.service import Clock, Service, route
from simulators.slack import block_faults, text_faults, units

ALL_SCOPES = frozenset(
    {"chat:write", "files:write", "files:read", "channels:history", "channels:read"}
)
_FILE_ID = re.compile(r"^F[A-Z0-9]{8,}$")
_SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "files.info": "files:read",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "users.conversations": "channels:read",
}
_JSON_FIELDS = ("blocks", "metadata", "files", "attachments")


class Refusal(Exception):
    """An `ok: false` answer."""

    def __init__(self, error: str, *messages: str, **more: Any) -> None:
        self.answer: dict[str, Any] = {"ok": False, "error": error, **more}
        if messages:
            self.answer["response_metadata"] = {"messages": list(messages)}


@dataclass
class Channel:
    """A channel and what stands in it, replies included, in the order of posting."""

    id: str
    name: str
    is_archived: bool = False
    has_bot: bool = True
    is_private: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    tokens: float = 5.0
    filled_at: float = 0.0

    @property
    def parents(self) -> list[dict[str, Any]]:
        return [one for one in self.messages if one.get("thread_ts") in (None, one["ts"])]

    def replies(self, ts: str) -> list[dict[str, Any]]:
        return [one for one in self.messages if one.get("thread_ts") == ts and one["ts"] != ts]

    def message(self, ts: Any) -> dict[str, Any] | None:
        return next((one for one in self.messages if one["ts"] == ts), None)


@dataclass
class File:
    """An upload. polls_left: looks until Slack has finished with it."""

    id: str
    name: str
    length: int
    alt: str
    polls_left: int
    body: bytes | None = None
    is_complete: bool = False


class SlackWorkspace(Service):
    """One workspace with the channels `general` (C0GENERAL) and `closed` (archived).

    burst: messages that a channel takes at once before one per second. slow_files: looks at a file
    until it can be shown. uploads: `on`, `off` (the workspace forbids them). takes_tables: whether
    the block is known here. page_limit: entries on a page at most.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.general = Channel("C0GENERAL", "general")
        closed = Channel("C0CLOSED1", "closed", is_archived=True)
        private = Channel("C0PRIVATE", "private", has_bot=False)
        self.channels = {one.id: one for one in (self.general, closed, private)}
        self.files: dict[str, File] = {}
        self.burst, self.slow_files, self.uploads, self.takes_tables = 5, 0, "on", True
        self.edit_window_open, self.page_limit = True, 1_000
        self.complaints: list[str] = []
        self._numbers = itertools.count(1)

    def bot(self, *scopes: str) -> str:
        """A bot token with these scopes, all of them by default."""
        granted = frozenset(scopes) or ALL_SCOPES
        return self.tokens.issue("B0BOT", token=f"xoxb-simulated-{len(self.tokens.live)}-secret",
                                 scopes=granted)  # fmt: skip

    # --- the way in --------------------------------------------------------------------------

    @route("POST", "/api/{method}")
    def api(self, call: Call, method: str) -> Answer:
        try:
            values = self._values(call)
            answer = self._do(method, values, call)
        except Refusal as refusal:
            answer = refusal.answer
        if answer.get("error") == "ratelimited":
            wait = str(answer.pop("retry_after"))
            return Answer.json(answer, status=429, headers={"Retry-After": wait})
        if call.content_type == "application/json" and "charset" not in call.headers.get(
            "content-type", ""
        ):
            metadata = answer.setdefault("response_metadata", {})
            metadata["warnings"] = ["missing_charset"]
            answer["warning"] = "missing_charset"
        return Answer.json(answer)

    @route("GET", "/api/{method}")
    def api_get(self, call: Call, method: str) -> Answer:
        return self.api(call, method)

    def _values(self, call: Call) -> dict[str, Any]:
        """Arguments of query, form or JSON body; lists and objects of forms are JSON text."""
        values: dict[str, Any] = dict(call.query)
        if call.content_type == "application/json" and call.body:
            try:
                values |= call.json()
            except ValueError:
                raise Refusal("invalid_json") from None
            return values
        values |= call.form
        for name in _JSON_FIELDS:
            if isinstance(values.get(name), str):
                values[name] = json.loads(values[name])
        return values

    def _do(self, method: str, values: dict[str, Any], call: Call) -> dict[str, Any]:
        token = call.bearer or str(values.get("token", ""))
        if not token:
            raise Refusal("not_authed")
        grant = self.tokens.use(token)
        if grant is None:
            raise Refusal("invalid_auth")
        needed = self._needed(method, values)
        if needed and needed not in grant.scopes:
            raise Refusal("missing_scope", needed=needed, provided=",".join(sorted(grant.scopes)))
        act = getattr(self, "_" + re.sub(r"[.]|(?=[A-Z])", "_", method).lower(), None)
        if act is None:
            raise Refusal("unknown_method")
        answer: dict[str, Any] = act(values, grant.user)
        return {"ok": True, **answer}

    def _needed(self, method: str, values: dict[str, Any]) -> str:
        """The scope for a call; another one for what is private."""
        channel = self.channels.get(str(values.get("channel")))
        is_private = channel is not None and channel.is_private
        if method == "users.conversations":
            is_private = values.get("types") == "private_channel"
        scope = _SCOPES.get(method, "")
        return scope.replace("channels:", "groups:") if is_private else scope

    # --- messages ----------------------------------------------------------------------------

    def _auth_test(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        return {"user": "crmetrics", "user_id": user, "team": "Acme", "team_id": "T0ACME"}

    def _chat_post_message(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        channel = self._channel(values, takes_name=True)
        self._book(channel)
        self._judge(values)
        parent = values.get("thread_ts")
        if parent is not None and channel.message(parent) is None:
            raise Refusal("thread_not_found")
        now = self.clock()
        ts = f"{int(now.timestamp())}.{next(self._numbers):06d}"
        message = {key: value for key, value in values.items() if key not in ("channel", "token")}
        message |= {"ts": ts, "user": user, "type": "message"}
        channel.messages.append(message)
        return {"channel": channel.id, "ts": ts, "message": message}

    def _chat_update(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        channel = self._channel(values)
        message = channel.message(values.get("ts"))
        if message is None:
            raise Refusal("message_not_found")
        if message["user"] != user:
            raise Refusal("cant_update_message")
        if not self.edit_window_open:
            raise Refusal("edit_window_closed")
        if units(values.get("text") or "") > 4_000:
            raise Refusal("msg_too_long")
        self._judge(values)
        kept = {key: value for key, value in values.items() if key not in ("channel", "token")}
        message.update(kept, edited={"user": user})
        return {"channel": channel.id, "ts": message["ts"], "text": message.get("text", "")}

    def _chat_delete(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        channel = self._channel(values)
        message = channel.message(values.get("ts"))
        if message is None:
            raise Refusal("message_not_found")
        channel.messages.remove(message)
        return {"channel": channel.id, "ts": message["ts"]}

    def _conversations_history(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        channel = self._channel(values)
        return self._page(list(reversed(channel.parents)), values)

    def _conversations_replies(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        channel = self._channel(values)
        parent = channel.message(values.get("ts"))
        if parent is None:
            raise Refusal("thread_not_found")
        return self._page([parent, *channel.replies(parent["ts"])], values)

    def _users_conversations(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        is_private = values.get("types") == "private_channel"
        shown = [
            {"id": one.id, "name": one.name, "is_private": one.is_private}
            for one in self.channels.values()
            if one.has_bot and one.is_private is is_private
        ]
        return self._page(shown, values, "channels")

    def _page(
        self, entries: list[dict[str, Any]], values: dict[str, Any], name: str = "messages"
    ) -> dict[str, Any]:
        """At most `page_limit` entries, however many are asked for."""
        limit = min(int(values.get("limit") or 100), self.page_limit)
        start = int(values.get("cursor") or 0)
        page = entries[start : start + limit]
        if values.get("include_all_metadata") not in ("true", True):
            page = [{k: v for k, v in one.items() if k != "metadata"} for one in page]
        following = str(start + limit) if start + limit < len(entries) else ""
        return {
            name: page,
            "has_more": bool(following),
            "response_metadata": {"next_cursor": following},
        }

    # --- files -------------------------------------------------------------------------------

    def _files_get_upload_u_r_l_external(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        if self.uploads == "off":
            raise Refusal("file_uploads_disabled")
        length = int(values.get("length") or 0)
        if not values.get("filename") or length <= 0:
            raise Refusal("missing_argument")
        if units(values.get("alt_txt") or "") > 1_000:
            raise Refusal("alt_txt_too_large")
        file_id = f"F0SIM{next(self._numbers):06d}"
        self.files[file_id] = File(
            file_id, values["filename"], length, values.get("alt_txt", ""), self.slow_files
        )
        return {"upload_url": f"{self.base_url}/upload/v1/{file_id}", "file_id": file_id}

    @route("POST", "/upload/v1/{file_id}")
    def upload(self, call: Call, file_id: str) -> Answer:
        file = self.files.get(file_id)
        if file is None:
            return Answer.text("no such upload", status=404)
        if "authorization" in call.headers:
            return Answer.text("no token here", status=403)
        body = _uploaded(call)
        if len(body) != file.length:
            return Answer.text("length does not match", status=400)
        file.body = body
        return Answer.text(f"OK - {len(body)}")

    def _files_complete_upload_external(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        done = []
        for entry in values.get("files") or []:
            file = self.files.get(entry.get("id"))
            if file is None or file.body is None:
                raise Refusal("file_not_found")
            file.is_complete = True
            done.append({"id": file.id, "title": entry.get("title", file.name)})
        return {"files": done}

    def _files_info(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        file = self.files.get(str(values.get("file")))
        if file is None or not file.is_complete:
            raise Refusal("file_not_found")
        mimetype = "image/png" if file.polls_left <= 0 else ""
        file.polls_left -= 1
        return {"file": {"id": file.id, "name": file.name, "mimetype": mimetype, "shares": {}}}

    # --- rules -------------------------------------------------------------------------------

    def _channel(self, values: dict[str, Any], *, takes_name: bool = False) -> Channel:
        wanted = str(values.get("channel", ""))
        for channel in self.channels.values():
            names = (channel.name, f"#{channel.name}") if takes_name else ()
            if wanted in (channel.id, *names):
                if not channel.has_bot:
                    raise Refusal("not_in_channel")
                if channel.is_archived:
                    raise Refusal("is_archived")
                return channel
        raise Refusal("channel_not_found")

    def _book(self, channel: Channel) -> None:
        """A leaky bucket: a burst, then one message a second."""
        now = self.clock().timestamp()
        if channel.filled_at:
            channel.tokens = min(self.burst, channel.tokens + now - channel.filled_at)
        else:
            channel.tokens = self.burst
        channel.filled_at = now
        if channel.tokens < 1:
            raise Refusal("ratelimited", retry_after=1)
        channel.tokens -= 1

    def _judge(self, values: dict[str, Any]) -> None:
        blocks = values.get("blocks")
        if not values.get("text") and not blocks:
            raise Refusal("no_text")
        if values.get("markdown_text") and (values.get("text") or blocks):
            raise Refusal("markdown_text_conflict")
        metadata = values.get("metadata")
        if metadata is not None and not (
            metadata.get("event_type") and isinstance(metadata.get("event_payload"), dict)
        ):
            raise Refusal("invalid_metadata_format")
        faults = block_faults(blocks or [])
        if not self.takes_tables and any(block["type"] == "table" for block in blocks or []):
            faults.append("/blocks: unsupported type: table")
        faults += [
            f"invalid slack file [json-pointer:/blocks/{index}/slack_file]"
            for index, block in enumerate(blocks or [])
            if "slack_file" in block and not self._can_show(block["slack_file"].get("id"))
        ]
        faults += text_faults({"text": values.get("text"), "blocks": blocks})
        self.complaints = faults
        if "/blocks: msg_blocks_too_long" in faults:
            raise Refusal("msg_blocks_too_long")
        if "/blocks: only_one_table_allowed" in faults:
            raise Refusal("invalid_attachments", "only_one_table_allowed")
        if faults:
            raise Refusal("invalid_blocks", *(f"[ERROR] {fault}" for fault in faults))

    def _can_show(self, file_id: Any) -> bool:
        file = self.files.get(str(file_id))
        if file is None or not file.is_complete or not _FILE_ID.match(file.id):
            return False
        file.polls_left -= 1
        return file.polls_left < 0


def _uploaded(call: Call) -> bytes:
    """The raw body, or the one part of a multipart body."""
    if call.content_type != "multipart/form-data":
        return call.body
    head, _, rest = call.body.partition(b"\r\n\r\n")
    return rest.rpartition(b"\r\n" + head.partition(b"\r\n")[0])[0]
