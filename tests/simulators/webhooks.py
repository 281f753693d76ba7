"""Local receivers of webhooks: a Teams workflow, a Google Chat space, an endpoint of one's own.

Each enforces what the real one refuses: size, form, keys that are missing, a signature that does
not fit.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from simulators.messages import Answer, Call
from simulators.service import Clock, Service, route

_CARD_TYPE = "application/vnd.microsoft.card.adaptive"
_ELEMENTS = {"RichTextBlock", "TextBlock", "Container", "FactSet", "Table", "ColumnSet", "Image"}


class TeamsWorkflow(Service):
    """A flow "When a Teams webhook request is received": 202 and nothing else when it takes it.

    state: `on`, `off` (the flow was switched off), `gone`. cards: what was accepted.
    """

    SIGNATURE = "simulatedSignature-0123456789abcdef"
    PATH = "/workflows/0123456789abcdef/triggers/manual/paths/invoke"

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.state = "on"
        self.cards: list[dict[str, Any]] = []

    @property
    def webhook_url(self) -> str:
        return f"{self.base_url}{self.PATH}?api-version=2016-06-01&sig={self.SIGNATURE}"

    @route("POST", PATH)
    def invoke(self, call: Call) -> Answer:
        if call.query.get("sig") != self.SIGNATURE:
            return Answer.json({"error": {"code": "AuthorizationFailed"}}, status=401)
        if self.state == "gone":
            return Answer.json({"error": {"code": "WorkflowNotFound"}}, status=404)
        if self.state == "off":
            return Answer.json({"error": {"code": "WorkflowTriggerIsNotEnabled"}}, status=400)
        if len(call.body) > 28_000:
            return Answer.json({"error": {"code": "RequestEntityTooLarge"}}, status=413)
        try:
            [attachment] = call.json()["attachments"]
            card = attachment["content"]
            _require_card(attachment, card)
        except (ValueError, KeyError, TypeError, AssertionError) as exc:
            return Answer.json({"error": {"code": "BadRequest", "message": str(exc)}}, status=400)
        self.cards.append(card)
        return Answer(202)


def _require_card(attachment: dict[str, Any], card: dict[str, Any]) -> None:
    assert attachment["contentType"] == _CARD_TYPE, "no Adaptive Card"
    assert card["type"] == "AdaptiveCard", "no Adaptive Card"
    assert card["version"] in ("1.2", "1.3", "1.4", "1.5"), "unknown version"
    assert card["body"], "empty body"
    for element in card["body"]:
        _require_element(element)


def _require_element(element: dict[str, Any]) -> None:
    assert element["type"] in _ELEMENTS, f"unknown element {element['type']}"
    for item in element.get("items", []):
        _require_element(item)
    for run in element.get("inlines", []):
        assert run["type"] == "TextRun", "unknown inline"
        assert run["text"], "empty text"


class GoogleChatSpace(Service):
    """An incoming webhook of a space; answers with the message, threads by key."""

    TOKEN = "simulatedToken0123456789"

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.messages: list[dict[str, Any]] = []
        self.threads: dict[str, str] = {}

    @property
    def webhook_url(self) -> str:
        return f"{self.base_url}/v1/spaces/AAAA/messages?key=simulatedKey&token={self.TOKEN}"

    @route("POST", "/v1/spaces/AAAA/messages")
    def post(self, call: Call) -> Answer:
        if call.query.get("token") != self.TOKEN:
            return _google(401, "UNAUTHENTICATED")
        if len(call.body) > 32_000:
            return _google(400, "INVALID_ARGUMENT")
        body = call.json()
        cards = body.get("cardsV2", [])
        if not body.get("text") and not cards:
            return _google(400, "INVALID_ARGUMENT")
        for entry in cards:
            sections = entry["card"]["sections"]
            if not sections or not all(section["widgets"] for section in sections):
                return _google(400, "INVALID_ARGUMENT")
        number = len(self.messages) + 1
        thread = f"spaces/AAAA/threads/t{number}"
        key = body.get("thread", {}).get("threadKey")
        if key and call.query.get("messageReplyOption"):
            thread = self.threads.setdefault(key, thread)
        message = {"name": f"spaces/AAAA/messages/m{number}", "thread": {"name": thread}, **{
            "text": body.get("text", ""), "cardsV2": cards}}  # fmt: skip
        self.messages.append(message)
        return Answer.json(message)


def _google(code: int, status: str) -> Answer:
    return Answer.json({"error": {"code": code, "status": status, "message": status}}, status=code)


class Receiver(Service):
    """An endpoint that checks the signature of Standard Webhooks and drops repeats by id.

    received: the id of every document that came; documents: what was kept, by id.
    """

    def __init__(self, secret: str = "", *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.secret = secret
        self.documents: dict[str, Any] = {}
        self.received: list[str] = []

    @property
    def url(self) -> str:
        return f"{self.base_url}/hooks/crmetrics/0123456789abcdef"

    @route("POST", "/hooks/crmetrics/{token}")
    def receive(self, call: Call, token: str) -> Answer:
        if self.secret and not self._is_signed(call):
            return Answer.text("bad signature", status=401)
        self.received.append(call.headers["webhook-id"])
        self.documents.setdefault(call.headers["webhook-id"], json.loads(call.body))
        return Answer(204)

    def _is_signed(self, call: Call) -> bool:
        headers = call.headers
        stamp = headers.get("webhook-timestamp", "0")
        if abs(int(stamp) - self.clock().timestamp()) > 300:
            return False
        signed = f"{headers.get('webhook-id')}.{stamp}.".encode() + call.body
        digest = hmac.new(self.secret.encode(), signed, hashlib.sha256).digest()
        expected = "v1," + base64.b64encode(digest).decode()
        return hmac.compare_digest(expected, headers.get("webhook-signature", ""))
