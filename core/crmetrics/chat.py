"""What all chat sinks share: their options, rule V1, when a report is sent again, and a post whose
end is never guessed. Plugins import all of it from `crmetrics.plugin`."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import Field, field_validator

from crmetrics import http
from crmetrics.deadline import Deadline
from crmetrics.errors import ConfigError, SinkError, UnknownOutcomeError
from crmetrics.message import Message, as_restatement, for_chat
from crmetrics.options import Options
from crmetrics.secrets import Secret, redact
from crmetrics.sink import CheckResult, Delivery, Receipt, Sink, SinkContext

_LONGEST_WAIT_S = 60.0
_CONNECT_S = 10.0
_ANSWER_BYTES = 1_000
_SHOWN_OF_ANSWER = 200
_SHOWN_OF_SECRET = 4
_LEAST_SECRET = 16  # a shorter part of an address is no secret, and may be a common word


class ChatOptions(Options):
    """What every chat sink accepts beside its own keys."""

    allow_people: bool = Field(
        default=False, description="show figures per owner or user in the channel"
    )
    on_unknown: Literal["at_most_once", "at_least_once"] = Field(
        default="at_most_once",
        description="what to do about an attempt that ended without an answer and may have "
        "arrived: leave it, or send it again",
    )
    timeout: float = Field(
        default=30.0,
        gt=0,
        le=300,
        description="seconds that an attempt to send may take, answer included",
    )


class WebhookOptions(ChatOptions):
    """What chat sinks accept that post to an incoming webhook."""

    webhook_url: Secret = Field(description="incoming webhook; the whole address is a secret")
    base_url: str | None = Field(
        default=None,
        description="scheme and host in place of those of webhook_url: a proxy, a test server",
    )
    on_rerun: Literal["correct", "skip"] = Field(
        default="correct",
        description="a report whose figures have changed since it was posted: post a correction, "
        "or leave it",
    )

    @field_validator("webhook_url")
    @classmethod
    def _safe_webhook(cls, webhook_url: Secret) -> Secret:
        require_safe(webhook_url.reveal())
        return webhook_url

    @field_validator("base_url")
    @classmethod
    def _safe_base(cls, base_url: str | None) -> str | None:
        if base_url is not None:
            require_safe(base_url)
        return base_url


class ChatSink(Sink):
    """A sink that people read: aggregates only (V1), told once, corrected when figures change."""

    config: ChatOptions

    @property
    def repeats_unknown(self) -> bool:
        return self.config.on_unknown == "at_least_once"

    def shown(self, message: Message) -> Message:
        return for_chat(message, allow_people=self.config.allow_people)

    def why_not_again(self, delivery: Delivery) -> str:
        return "" if delivery.is_correction else "no figure has changed since"

    def report(self, delivery: Delivery) -> Message:
        """The message as this channel may see it, marked as a correction when it is one."""
        shown = self.shown(delivery.message)
        return as_restatement(
            shown, delivery.restated, delivery.goals_told, has_new_rows=delivery.has_new_rows
        )

    def open_session(self) -> http.Session:
        """The session that a delivery is sent with."""
        return http.Session(**self.session_options())

    def session_options(self) -> dict[str, Any]:
        """Time limits and patience of the session."""
        timeout = self.config.timeout
        return {
            "timeouts": http.Timeouts(min(_CONNECT_S, timeout), timeout, timeout),
            "retries": http.Retries(longest_wait_s=_LONGEST_WAIT_S),
        }

    def deadline(self) -> Deadline:
        """The time limit of an attempt that goes another way than `open_session`."""
        return Deadline(self.config.timeout)

    def failed(self, reason: str) -> SinkError:
        return SinkError(f"sink {self.context.name}: {reason}")

    def unknown(self, reason: str) -> UnknownOutcomeError:
        """reason: whole sentences."""
        settled = (
            "It is sent again by the next run (on_unknown: at_least_once)."
            if self.repeats_unknown
            else "It is not sent again (on_unknown: at_most_once), because posting twice is worse."
        )
        return UnknownOutcomeError(
            f"sink {self.context.name}: {reason} The message may have been posted all the same: "
            f"look into the channel. {settled}"
        )


def change_of(delivery: Delivery) -> str:
    """Names what has changed since which delivery: the same for a run that was killed while it told
    it and for the next one, whose message has another run and instant in it."""
    said = [delivery.told_by, *((one.title, one.before, one.after) for one in delivery.restated)]
    text = json.dumps(said, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


# --- webhooks ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said: its status, and the first bytes of the body on one line."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def shown(self) -> str:
        return redact(self.text[:_SHOWN_OF_ANSWER]) or "an empty body"


class Webhook:
    """An address that is a secret as a whole. base_url: stands in for its scheme and host."""

    def __init__(self, url: Secret, base_url: str | None = None) -> None:
        self._url, self._base = url.reveal(), base_url
        parts = urlsplit(self._url)
        # Remembered, so that `redact` takes them out of any message.
        values = (value for _, value in parse_qsl(parts.query))
        for part in (parts.path, parts.path.rpartition("/")[2], parts.query, *values):
            if len(part) >= _LEAST_SECRET:
                Secret(part)

    @property
    def destination(self) -> str:
        """Scheme and host that are posted to, and so much of a long secret that people can tell two
        apart."""
        parts = urlsplit(self._url)
        token = parts.query or parts.path.rpartition("/")[2]
        ending = f" …{token[-_SHOWN_OF_SECRET:]}" if len(token) >= _LEAST_SECRET else ""
        return f"{http.origin(self.address)} webhook{ending}"

    @property
    def identity(self) -> str:
        """A hash of the whole address that is posted to: what `destination` shows of two may be the
        same, and what a test server took has not reached the service."""
        return hashlib.sha256(self.address.encode("utf-8")).hexdigest()

    @property
    def address(self) -> str:
        if self._base is None or http.origin(self._base) == http.origin(self._url):
            return self._url
        parts, target = urlsplit(self._url), urlsplit(self._base)
        path = target.path.rstrip("/") + parts.path
        return urlunsplit((target.scheme, target.netloc, path, parts.query, ""))

    def post(
        self,
        sink: ChatSink,
        body: bytes,
        *,
        params: Mapping[str, str] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        """Send once; an answer below 500 that is not 429.

        Raises UnknownOutcomeError when the message may have arrived, SinkError when it surely did
        not.
        """
        kind = {"Content-Type": "application/json; charset=utf-8"}
        try:
            with (
                sink.open_session() as session,
                session.request(
                    "POST",
                    self.address,
                    params=dict(params) or None,
                    headers={**kind, **headers},
                    body=body,
                ) as response,
            ):
                answer = Answer(response.status, _start_of(response), response.headers)
        except http.HttpError as exc:
            if exc.is_outcome_unknown:
                raise sink.unknown(str(exc)) from None
            raise sink.failed(f"{exc} Nothing was posted; run again later.") from None
        if answer.status >= 500:
            raise sink.unknown(f"the service answered {answer.status} with {answer.shown!r}.")
        if answer.status == 429:
            wait = answer.headers.get("Retry-After", "")
            asked = f" for {wait} s" if wait.isdigit() else ""
            raise sink.failed(
                f"the service asks to wait{asked} (429). Nothing was posted; run again."
            )
        return answer


class WebhookSink(ChatSink):
    """A chat sink that posts one JSON document to an incoming webhook.

    service: who answers there, for messages. gone: what a 401, 403, 404 or 410 means.
    """

    service: ClassVar[str] = "the service"
    gone: ClassVar[str] = "the webhook no longer exists. Make a new one and set it as webhook_url."
    config: WebhookOptions

    def __init__(self, config: WebhookOptions, context: SinkContext) -> None:
        super().__init__(config, context)
        self.webhook = Webhook(config.webhook_url, config.base_url)

    @abstractmethod
    def payload(self, message: Message) -> dict[str, Any]:
        """The JSON document for a message that may be shown, within the limits of the service."""

    def params(self, delivery: Delivery) -> Mapping[str, str]:
        """What is added to the query of the address."""
        return {}

    def accepts(self, answer: Answer) -> bool:
        """Whether an answer of 2xx says that the message was taken."""
        return True

    def destination(self, delivery: Delivery) -> str:
        return self.webhook.destination

    def destination_id(self, delivery: Delivery) -> str:
        return f"{self.name} {self.webhook.identity}"

    def why_not_again(self, delivery: Delivery) -> str:
        if self.config.on_rerun == "skip":
            return "it is left as it is (on_rerun: skip)"
        return super().why_not_again(delivery)

    def check(self) -> Iterable[CheckResult]:
        message = "the webhook is set; whether it works shows only a message"
        return [CheckResult(f"sink {self.context.name}", "ok", message)]

    def preview(self, delivery: Delivery) -> str:
        # Without indentation: the services count bytes.
        return json.dumps(self.body(delivery), ensure_ascii=False)

    def body(self, delivery: Delivery) -> dict[str, Any]:
        """What is posted for a delivery."""
        return self.payload(self.report(delivery))

    def write(self, delivery: Delivery) -> Receipt:
        body = self.preview(delivery).encode("utf-8")
        answer = self.webhook.post(self, body, params=self.params(delivery))
        if not 200 <= answer.status < 300:
            said = f"{self.service} answered {answer.status} with {answer.shown!r}"
            raise self.failed(f"{said}: {self.meaning(answer.status)}")
        if not self.accepts(answer):
            said = f"{self.service} answered {answer.status} with {answer.shown!r}."
            raise self.unknown(said)
        return Receipt(
            destination=self.destination(delivery),
            rows=len(delivery.message.kpis),
            reference=f"sha256:{hashlib.sha256(body).hexdigest()}",
            details={"bytes": len(body)},
        )

    def meaning(self, status: int) -> str:
        """A refusal in plain words with the way out."""
        if status in (401, 403, 404, 410):
            return self.gone
        if 300 <= status < 400:
            return "the address redirects. Set the webhook's own address as webhook_url."
        if status in (400, 413):
            return (
                "the message was not taken. This is a defect of crmetrics: please report it with "
                "the output of `crmetrics run JOB --dry-run`."
            )
        return "nothing was posted. Check webhook_url and base_url of the sink."


def require_safe(url: str) -> None:
    """For validators of options. Raises ValueError, which shows no more than scheme and host."""
    try:
        http.require_safe(url)
    except ConfigError as exc:
        raise ValueError(str(exc)) from None


def _start_of(response: http.Response) -> str:
    """The first bytes of an answer: most are a word, others may be a page."""
    first = next(response.stream(_ANSWER_BYTES), b"")
    return " ".join(first[:_ANSWER_BYTES].decode("utf-8", errors="replace").split())


__all__ = [
    "Answer",
    "ChatOptions",
    "ChatSink",
    "Deadline",
    "Webhook",
    "WebhookOptions",
    "WebhookSink",
    "require_safe",
]
