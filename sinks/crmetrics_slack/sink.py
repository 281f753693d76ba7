"""Post the report of a job to a Slack channel through an incoming webhook."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, field_validator

from crmetrics.plugin import (
    CheckResult,
    ConfigError,
    Delivery,
    Options,
    Receipt,
    Secret,
    Sink,
    SinkError,
    UnknownOutcomeError,
    for_chat,
    http,
    redact,
)
from crmetrics_slack.answers import meaning_of
from crmetrics_slack.blocks import payload

_LONGEST_WAIT_S = 60.0
_CONNECT_S = 10.0
_ANSWER_BYTES = 1_000
_SHOWN_CHARACTERS = 4
_LEAST_SECRET = 16  # a shorter path is no Slack secret, and may be a common word


class SlackOptions(Options):
    """Which channel, through which webhook, and what may be said there."""

    webhook_url: Secret = Field(description="incoming webhook; the whole address is a secret")
    base_url: str | None = Field(
        default=None,
        description="scheme and host in place of those of webhook_url: a proxy, a test server",
    )
    allow_people: bool = Field(
        default=False, description="show figures per owner or user in the channel"
    )
    timeout: float = Field(default=30.0, gt=0, le=300, description="seconds to wait for Slack")

    @field_validator("webhook_url")
    @classmethod
    def _safe_webhook(cls, webhook_url: Secret) -> Secret:
        _require_safe(webhook_url.reveal())
        return webhook_url

    @field_validator("base_url")
    @classmethod
    def _safe_base(cls, base_url: str | None) -> str | None:
        if base_url is not None:
            _require_safe(base_url)
        return base_url


def _require_safe(url: str) -> None:
    try:
        http.require_safe(url)
    except ConfigError as exc:
        raise ValueError(str(exc)) from None


class SlackSink(Sink):
    """One message per job and period. Slack cannot replace it, so it is never sent again."""

    name = "slack"
    Config = SlackOptions
    is_idempotent = False
    config: SlackOptions

    def __init__(self, config: SlackOptions, context: Any) -> None:
        super().__init__(config, context)
        path = urlsplit(config.webhook_url.reveal()).path
        for part in (path, path.rpartition("/")[2]):
            if len(part) >= _LEAST_SECRET:
                Secret(part)  # remembered, so that `redact` takes it out of any message

    def destination(self, delivery: Delivery) -> str:
        url = self.config.webhook_url.reveal()
        token = urlsplit(url).path.rpartition("/")[2]
        ending = f" …{token[-_SHOWN_CHARACTERS:]}" if len(token) >= _LEAST_SECRET else ""
        return f"{http.origin(url)} webhook{ending}"

    def check(self) -> Iterable[CheckResult]:
        message = "the webhook is set; whether it works shows only a message to the channel"
        return [CheckResult(f"sink {self.context.name}", "ok", message)]

    def preview(self, delivery: Delivery) -> str:
        return json.dumps(self._payload(delivery), ensure_ascii=False, indent=2)

    def write(self, delivery: Delivery) -> Receipt:
        body = self.preview(delivery).encode("utf-8")
        with self.open_session() as session:
            self._post(session, body)
        return Receipt(
            destination=self.destination(delivery),
            rows=len(delivery.message.kpis),
            reference=f"sha256:{hashlib.sha256(body).hexdigest()}",
            details={"bytes": len(body)},
        )

    def open_session(self) -> http.Session:
        """The session that a delivery is sent with."""
        timeouts = http.Timeouts(min(_CONNECT_S, self.config.timeout), self.config.timeout)
        return http.Session(timeouts=timeouts, retries=http.Retries(longest_wait_s=_LONGEST_WAIT_S))

    def _payload(self, delivery: Delivery) -> dict[str, Any]:
        return payload(for_chat(delivery.message, allow_people=self.config.allow_people))

    def _post(self, session: http.Session, body: bytes) -> None:
        """Send once; returns only when Slack said `ok`."""
        headers = {"Content-Type": "application/json; charset=utf-8"}
        try:
            with session.request("POST", self._address, headers=headers, body=body) as response:
                status, answer = response.status, _start_of(response)
                wait = response.headers.get("Retry-After", "")
        except http.HttpError as exc:
            if exc.is_outcome_unknown:
                raise self._unknown(str(exc)) from None
            raise self._failed(f"{exc} Nothing was posted; run again later.") from None
        if status == 200 and answer == "ok":
            return
        shown = redact(answer) or "an empty body"
        if 200 <= status < 300 or status >= 500:
            raise self._unknown(f"Slack answered {status} with {shown!r}, expected 200 with 'ok'.")
        if status == 429:
            asked = f" for {wait} s" if wait.isdigit() else ""
            raise self._failed(f"Slack asks to wait{asked} (429). Nothing was posted; run again.")
        raise self._failed(f"Slack answered {status} with {shown!r}: {meaning_of(status, answer)}")

    @property
    def _address(self) -> str:
        url = self.config.webhook_url.reveal()
        base = self.config.base_url
        if base is None or http.origin(base) == http.origin(url):
            return url
        parts, target = urlsplit(url), urlsplit(base)
        path = target.path.rstrip("/") + parts.path
        return urlunsplit((target.scheme, target.netloc, path, parts.query, ""))

    def _failed(self, reason: str) -> SinkError:
        return SinkError(f"sink {self.context.name}: {reason}")

    def _unknown(self, reason: str) -> UnknownOutcomeError:
        return UnknownOutcomeError(
            f"sink {self.context.name}: {reason} The message may have been posted all the same: "
            "look into the channel. It is not sent again, because posting twice is worse."
        )


def _start_of(response: http.Response) -> str:
    """The first bytes of an answer: Slack's are a word, others may be a page."""
    first = next(response.stream(_ANSWER_BYTES), b"")
    return " ".join(first[:_ANSWER_BYTES].decode("utf-8", errors="replace").split())[:200]
