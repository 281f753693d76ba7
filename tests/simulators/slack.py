"""A local Slack: incoming webhooks with Slack's rules, refusals and moods.

    with SlackSimulator() as slack:
        ...post to slack.webhook_url...
        slack.posts          # what reached the channel

It refuses what Slack refuses (block limits, missing text, a revoked webhook) with Slack's status
and words, and, stricter than Slack, any `<` or `&` that is no whole token or entity.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from simulators.service import Answer, Call, Service

TOKEN = "simulatedSecretToken0001"
PATH = f"/services/T00000000/B00000000/{TOKEN}"

Mood = Literal["store, then answer 500", "store, then hang up", "hang up", "say nothing", "html"]

_STATES: dict[str, tuple[int, str]] = {
    "revoked": (404, "no_service"),
    "app_removed": (404, "no_team"),
    "channel_gone": (404, "channel_not_found"),
    "archived": (410, "channel_is_archived"),
    "forbidden": (403, "action_prohibited"),
    "bad_token": (403, "invalid_token"),
}
_BURST, _REFILL_PER_S = 5, 1.0
_MAX_BLOCKS_TOTAL = 13_200
_TOKENS = re.compile(
    r"<(?:https?://[^<>|\s]+|mailto:[^<>|]+|@[UW]\w+|#C\w+|!(?:here|channel|everyone)"
    r"|!subteam\^S\w+|!date\^[^<>]+)(?:\|[^<>]*)?>"
)
_ENTITIES = re.compile(r"&(?:amp|lt|gt);")
_BROADCASTS = re.compile(r"@(?:here|channel|everyone)\b", re.IGNORECASE)


class SlackSimulator(Service):
    """One webhook to one channel; `now` is its clock in seconds."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__()
        self.now = now
        self.state = "active"
        self.retry_after_s = 1
        self.posts: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.answers: list[tuple[int, str]] = []
        self.moods: list[Mood] = []
        self.complaints: list[str] = []
        self._tokens, self._filled_at = float(_BURST), self.now()
        self._blocked_until = float("-inf")

    @property
    def webhook_url(self) -> str:
        return self.base_url + PATH

    @property
    def requests(self) -> list[tuple[float, bytes]]:
        """When each request came, and its body."""
        return [(at, call.body) for at, call in zip(self.times, self.calls, strict=True)]

    @property
    def headers(self) -> list[Mapping[str, str]]:
        return [call.headers for call in self.calls]

    # --- one request -------------------------------------------------------------------------

    def handle(self, call: Call) -> Answer:
        self.times.append(self.now())
        mood = self.moods.pop(0) if self.moods else None
        if mood == "hang up":
            return Answer.hang_up()
        if mood == "html":
            return Answer.html("Please log in")
        if mood == "say nothing":
            return Answer.silence()
        status, word = self._judge(call)
        if status == 200 and mood == "store, then answer 500":
            status, word = 500, "rollup_error"
        if status == 200 and mood == "store, then hang up":
            return Answer.hang_up()
        answer = Answer.text(word, status)
        if status == 429:
            return answer.with_headers({"Retry-After": str(self.retry_after_s)})
        return answer

    def _judge(self, call: Call) -> tuple[int, str]:
        if call.path != PATH or call.method != "POST":
            return 404, "no_service"
        if self.answers:
            return self.answers.pop(0)
        if self.state in _STATES:
            return _STATES[self.state]
        if self._is_too_fast():
            return 429, "rate_limited"
        if call.content_type != "application/json":
            return 400, "invalid_payload"
        try:
            payload = call.json()
        except ValueError:
            return 400, "invalid_payload"
        if not isinstance(payload, dict):
            return 400, "invalid_payload"
        word = self._refusal(payload)
        if word:
            return 400, word
        self.posts.append(payload)
        return 200, "ok"

    def _refusal(self, payload: dict[str, Any]) -> str:
        if not payload.get("text") and not payload.get("blocks"):
            return "no_text"
        self.complaints = [*block_faults(payload.get("blocks", [])), *text_faults(payload)]
        return "invalid_blocks" if self.complaints else ""

    def _is_too_fast(self) -> bool:
        """A leaky bucket: a burst of five, then one a second; who comes early waits longer."""
        now = self.now()
        self._tokens = min(_BURST, self._tokens + (now - self._filled_at) * _REFILL_PER_S)
        self._filled_at = now
        if now < self._blocked_until or self._tokens < 1:
            self._blocked_until = max(self._blocked_until, now + self.retry_after_s)
            return True
        self._tokens -= 1
        return False


# --- Block Kit -------------------------------------------------------------------------------


def units(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def block_faults(blocks: Any) -> list[str]:
    """What Slack would refuse, each with its JSON pointer."""
    if not isinstance(blocks, list):
        return ["/blocks: must be a list"]
    faults = []
    if len(blocks) > 50:
        faults.append(f"/blocks: {len(blocks)} items, at most 50")
    if units(json.dumps(blocks, ensure_ascii=False)) > _MAX_BLOCKS_TOTAL:
        faults.append("/blocks: msg_blocks_too_long")
    if sum(block.get("type") == "table" for block in blocks) > 1:
        faults.append("/blocks: only_one_table_allowed")
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(ids) != len(set(ids)):
        faults.append("/blocks: block_id is not unique")
    for index, block in enumerate(blocks):
        check = _CHECKS.get(block.get("type"))
        place = f"/blocks/{index}"
        faults += check(block, place) if check else [f"{place}: unsupported type"]
    return faults


def _text_object(value: Any, place: str, limit: int, kinds: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("type") not in kinds:
        yield f"{place}: expected {' or '.join(kinds)}"
        return
    length = units(value.get("text") or "")
    if not 1 <= length <= limit:
        yield f"{place}/text: {length} characters, allowed 1 to {limit}"
    allowed = {"type", "text", "emoji"} if value["type"] == "plain_text" else {
        "type", "text", "verbatim"}  # fmt: skip
    for key in set(value) - allowed:
        yield f"{place}/{key}: unknown key"


def _section(block: dict[str, Any], place: str) -> list[str]:
    faults: list[str] = []
    if "text" not in block and "fields" not in block:
        faults.append(f"{place}: needs text or fields")
    if "text" in block:
        faults += _text_object(block["text"], f"{place}/text", 3000, ("mrkdwn", "plain_text"))
    fields = block.get("fields")
    if fields is not None and not 1 <= len(fields) <= 10:
        faults.append(f"{place}/fields: {len(fields)} items, allowed 1 to 10")
    for index, value in enumerate(fields or []):
        faults += _text_object(value, f"{place}/fields/{index}", 2000, ("mrkdwn", "plain_text"))
    return faults


def _header(block: dict[str, Any], place: str) -> list[str]:
    return list(_text_object(block.get("text"), f"{place}/text", 150, ("plain_text",)))


def _context(block: dict[str, Any], place: str) -> list[str]:
    elements = block.get("elements") or []
    faults = [] if 1 <= len(elements) <= 10 else [f"{place}/elements: {len(elements)} items"]
    for index, element in enumerate(elements):
        spot = f"{place}/elements/{index}"
        if element.get("type") == "image":
            faults += _image(element, spot)
        else:
            faults += _text_object(element, spot, 3000, ("mrkdwn", "plain_text"))
    return faults


def _image(block: dict[str, Any], place: str) -> list[str]:
    faults = [] if block.get("alt_text") else [f"{place}: alt_text is missing"]
    if not block.get("image_url") and not block.get("slack_file"):
        faults.append(f"{place}: image_url or slack_file is missing")
    return faults


def _table(block: dict[str, Any], place: str) -> list[str]:
    rows = block.get("rows") or []
    faults = [] if 1 <= len(rows) <= 100 else [f"{place}/rows: {len(rows)} items, at most 100"]
    if len(block.get("column_settings", [])) > 20:
        faults.append(f"{place}/column_settings: at most 20")
    total = 0
    for number, row in enumerate(rows):
        if not 1 <= len(row) <= 20:
            faults.append(f"{place}/rows/{number}: {len(row)} cells, at most 20")
        for index, cell in enumerate(row):
            spot = f"{place}/rows/{number}/{index}"
            if cell.get("type") not in ("raw_text", "rich_text"):
                faults.append(f"{spot}: unsupported type")
            if cell.get("type") == "raw_text" and not cell.get("text"):
                faults.append(f"{spot}/text: must not be empty")
            total += units(cell.get("text") or "")
    return [*faults, *([f"{place}: too many characters"] if total > 10_000 else [])]


def _divider(block: dict[str, Any], place: str) -> list[str]:
    return []


_CHECKS: dict[Any, Callable[[dict[str, Any], str], list[str]]] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "image": _image,
    "divider": _divider,
    "table": _table,
}


# --- texts -----------------------------------------------------------------------------------


def texts(value: Any) -> Iterator[str]:
    """Every text that Slack reads in a payload."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "text" and isinstance(part, str):
                yield part
            else:
                yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def text_faults(payload: dict[str, Any]) -> list[str]:
    """`<`, `>` or `&` that are neither a whole token nor an entity."""
    faults = []
    for text in texts(payload):
        rest = _ENTITIES.sub("", _TOKENS.sub("", text))
        if re.search(r"[<>&]", rest):
            faults.append(f"unescaped character in {text[:80]!r}")
    return faults


def tokens(payload: dict[str, Any]) -> list[str]:
    """Links and mentions that Slack would make of the payload, broadcast words included."""
    found = []
    for text in texts(payload):
        found += _TOKENS.findall(text) + _BROADCASTS.findall(text)
    return found


def seen(text: str) -> str:
    """The text as a reader sees it: entities decoded, zero-width characters unseen."""
    text = text.replace("\u200b", "").replace("&lt;", "<").replace("&gt;", ">")
    return text.replace("&amp;", "&")


def everything_seen(payload: dict[str, Any]) -> str:
    return "\n".join(seen(text) for text in texts(payload))
