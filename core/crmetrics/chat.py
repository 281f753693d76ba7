"""What all chat sinks share: their options, rule V1, when a report is sent again, and a post whose
end is never guessed. Plugins import all of it from `crmetrics.plugin`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field

from crmetrics import http
from crmetrics.errors import ConfigError, SinkError, UnknownOutcomeError
from crmetrics.message import Message, as_restatement, for_chat
from crmetrics.options import Options
from crmetrics.secrets import Secret, redact
from crmetrics.sink import Delivery, Sink

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
    timeout: float = Field(default=30.0, gt=0, le=300, description="seconds to wait for an answer")


class ChatSink(Sink):
    """A sink that people read: aggregates only (V1), told once, corrected when figures change."""

    config: ChatOptions

    @property
    def repeats_unknown(self) -> bool:
        return self.config.on_unknown == "at_least_once"

    def shown(self, message: Message) -> Message:
        return for_chat(message, allow_people=self.config.allow_people)

    def why_not_again(self, delivery: Delivery) -> str:
        return "" if delivery.restated else "no figure has changed since"

    def report(self, delivery: Delivery) -> Message:
        """The message as this channel may see it, marked as a correction when it is one."""
        return as_restatement(self.shown(delivery.message), delivery.restated)

    def open_session(self) -> http.Session:
        """The session that a delivery is sent with."""
        return http.Session(**self.session_options())

    def session_options(self) -> dict[str, Any]:
        """Time limits and patience of the session."""
        timeout = self.config.timeout
        return {
            "timeouts": http.Timeouts(min(_CONNECT_S, timeout), timeout),
            "retries": http.Retries(longest_wait_s=_LONGEST_WAIT_S),
        }

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
        for part in (parts.path, parts.path.rpartition("/")[2], parts.query):
            if len(part) >= _LEAST_SECRET:
                Secret(part)

    @property
    def destination(self) -> str:
        """Scheme and host, and so much of the secret that two addresses can be told apart."""
        parts = urlsplit(self._url)
        token = parts.query or parts.path.rpartition("/")[2]
        ending = f" …{token[-_SHOWN_OF_SECRET:]}" if len(token) >= _LEAST_SECRET else ""
        return f"{http.origin(self._url)} webhook{ending}"

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


__all__ = ["Answer", "ChatOptions", "ChatSink", "Webhook", "require_safe"]
