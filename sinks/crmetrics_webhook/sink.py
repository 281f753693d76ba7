"""Post the report of a job as signed JSON to any address."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field, field_validator

from crmetrics.plugin import (
    CheckResult,
    Delivery,
    Receipt,
    Secret,
    SinkContext,
    chat,
    export,
    restatement_text,
)


class WebhookOptions(chat.ChatOptions):
    """Where to, signed with what, and how much of the report."""

    url: Secret = Field(description="https address; kept secret, since it may hold a token")
    secret: Secret | None = Field(
        default=None, description="key of the signature (HMAC-SHA256); unset = not signed"
    )
    headers: dict[str, Secret] = Field(
        default_factory=dict, description="further headers, such as Authorization"
    )
    include: Literal["message", "results"] = Field(
        default="message",
        description="message: what people may read, rules of chat applied. results: every row too, "
        "persons and records included; only for a system, not for a chat",
    )

    @field_validator("url")
    @classmethod
    def _safe(cls, url: Secret) -> Secret:
        chat.require_safe(url.reveal())
        return url


class WebhookSink(chat.ChatSink):
    """One JSON document per job and period, signed as Standard Webhooks are.

    `webhook-id` is the same for every repeat of the same report, so that a receiver can drop what
    it has, and another for every correction; `webhook-signature` is `v1,` and the Base64 of
    HMAC-SHA256 over `ID.TIMESTAMP.BODY`. Any answer of 2xx counts as delivered.
    """

    name = "webhook"
    Config = WebhookOptions
    config: WebhookOptions

    def __init__(self, config: WebhookOptions, context: SinkContext) -> None:
        super().__init__(config, context)
        self._webhook = chat.Webhook(config.url)

    def destination(self, delivery: Delivery) -> str:
        return self._webhook.destination

    def destination_id(self, delivery: Delivery) -> str:
        return f"{self.name} {self._webhook.identity}"

    @property
    def sends_rows(self) -> bool:
        return self.config.include == "results"

    def check(self) -> Iterable[CheckResult]:
        subject = f"sink {self.context.name}"
        if self.config.secret is None:
            message = "the address is set; documents are not signed"
            return [CheckResult(subject, "warning", message, "Set `secret` on both sides.")]
        return [CheckResult(subject, "ok", "the address and the key of the signature are set")]

    def preview(self, delivery: Delivery) -> str:
        return json.dumps(self._document(delivery), ensure_ascii=False, indent=2)

    def write(self, delivery: Delivery) -> Receipt:
        body = self.preview(delivery).encode("utf-8")
        identity = self._identity(delivery)
        headers = {name: value.reveal() for name, value in self.config.headers.items()}
        headers |= signature(self.config.secret, identity, int(self.now()), body)
        answer = self._webhook.post(self, body, headers=headers)
        if not 200 <= answer.status < 300:
            raise self.failed(
                f"the receiver answered {answer.status} with {answer.shown!r}, expected 2xx. "
                "Check url, secret and headers of the sink, then run again."
            )
        return Receipt(
            destination=self.destination(delivery),
            rows=delivery.results.num_rows,
            reference=identity,
            details={"bytes": len(body), "status": answer.status},
        )

    def now(self) -> float:
        """Seconds since 1970, for the timestamp of the signature."""
        return time.time()

    def _identity(self, delivery: Delivery) -> str:
        """Names the report: the same for a repeat, another when it says something else."""
        said = json.dumps(self._said(delivery), sort_keys=True, ensure_ascii=False, default=str)
        return f"{delivery.key}-{hashlib.sha256(said.encode('utf-8')).hexdigest()[:16]}"

    def _said(self, delivery: Delivery) -> Any:
        """The part of the document that does not change with the run. A run of a later period has
        another series of periods beside the reported one."""
        lines = [asdict(line) for line in self.shown(delivery.message).kpis]
        for line in lines:
            del line["series"], line["series_labels"]
        said: list[Any] = [lines, delivery.is_partial]
        if delivery.rows_id:
            said.append(delivery.rows_id)
        return [*said, chat.change_of(delivery)] if delivery.is_correction else said

    def _document(self, delivery: Delivery) -> dict[str, Any]:
        message = asdict(self.shown(delivery.message))
        del message["chat_notes"]  # its notes are those
        document: dict[str, Any] = {
            "type": "crmetrics.report",
            "version": 1,
            "key": delivery.key,
            "run_id": delivery.run_id,
            "project": self.context.project,
            "job": delivery.job,
            "grain": delivery.grain,
            "period_start": delivery.period_start.isoformat(),
            "period_end": delivery.period_end.isoformat(),
            "is_partial": delivery.is_partial,
            "restated": [restatement_text(one) for one in delivery.restated],
            "message": json.loads(json.dumps(message, default=_plain)),
        }
        if self.config.include == "results":
            document["results"] = list(export.rows(delivery.results))
        return document


def signature(secret: Secret | None, identity: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a document; the signature covers id, time and body."""
    headers = {"webhook-id": identity, "webhook-timestamp": str(at)}
    if secret is not None:
        signed = f"{identity}.{at}.".encode() + body
        digest = hmac.new(secret.reveal().encode("utf-8"), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode('ascii')}"
    return headers


def _plain(value: Any) -> str:
    return export.instant(value) if hasattr(value, "tzinfo") else str(value)
