"""The calls of Slack's Web API that a report needs, and what their refusals mean here.

Slack answers a refusal with 200 and `ok: false`: the status alone says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from crmetrics.plugin import SinkError, http, redact
from crmetrics_slack.answers import meaning_of_error

Json = dict[str, Any]

_MAY_HAVE_ACTED = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
_DECLINED = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})

POST_BUDGET = "post"
"""Slack takes about one message per second and channel."""


class Refused(Exception):
    """Slack did not do it. error: its word for why; details: where in the message."""

    def __init__(self, method: str, answer: Mapping[str, Any]) -> None:
        self.method = method
        self.error = str(answer.get("error") or "no reason")
        metadata = answer.get("response_metadata")
        messages = metadata.get("messages") if isinstance(metadata, Mapping) else None
        told = messages if isinstance(messages, list) else []
        self.details = redact("; ".join(str(message) for message in told)[:300])
        self.needed = str(answer.get("needed") or "")
        super().__init__(self.explain())

    @property
    def is_passing(self) -> bool:
        """True when the same call may succeed later."""
        return self.error in _MAY_HAVE_ACTED | _DECLINED

    def explain(self) -> str:
        where = f" ({self.details})" if self.details else ""
        return (
            f"Slack refused {self.method} with {redact(self.error)!r}{where}: "
            f"{meaning_of_error(self.error, self.needed)}"
        )


class Api(Protocol):
    """What a delivery is carried out with: Slack, or a rehearsal of it."""

    def call(
        self,
        method: str,
        body: Mapping[str, Any] | None = None,
        *,
        form: Mapping[str, str] | None = None,
        is_idempotent: bool = True,
        budget: str = "",
    ) -> Json: ...


class SlackApi:
    """One workspace, as one bot sees it.

    failed, unknown: make the errors of the sink from a reason in words.
    """

    def __init__(
        self,
        session: http.Session,
        *,
        failed: Callable[[str], SinkError],
        unknown: Callable[[str], SinkError],
    ) -> None:
        self._session, self._failed, self._unknown = session, failed, unknown

    def call(
        self,
        method: str,
        body: Mapping[str, Any] | None = None,
        *,
        form: Mapping[str, str] | None = None,
        is_idempotent: bool = True,
        budget: str = "",
    ) -> Json:
        """The answer of a method. body goes as JSON, form as form data.

        Raises Refused when Slack says no, UnknownOutcomeError when a call that must not be
        repeated may have been carried out, SinkError when it surely was not.
        """
        sent: Json = {"form": dict(form)} if form is not None else {"json": dict(body or {})}
        try:
            with self._session.request(
                "POST", method, is_idempotent=is_idempotent, is_whole=True, budget=budget, **sent
            ) as response:
                answer = self._read(method, response, is_idempotent)
        except http.HttpError as exc:
            if exc.is_outcome_unknown and not is_idempotent:
                raise self._unknown(f"{method}: {exc}") from None
            raise self._failed(f"{method}: {exc} Run again later.") from None
        if answer["ok"]:
            if not is_idempotent and not (answer.get("ts") and answer.get("channel")):
                raise self._unknown(f"Slack answered {method} without the id of the message.")
            return answer
        error = str(answer.get("error"))
        if error in _MAY_HAVE_ACTED and not is_idempotent:
            raise self._unknown(f"Slack answered {method} with {error!r}.")
        raise Refused(method, answer)

    def _read(self, method: str, response: http.Response, is_idempotent: bool) -> Json:
        if response.status == 429:
            wait = response.headers.get("Retry-After", "")
            asked = f" for {wait} s" if wait.isdigit() else ""
            raise self._failed(f"Slack asks to wait{asked} (429, {method}). Run again.")
        try:
            answer = response.json()
        except http.HttpError:
            answer = None
        if isinstance(answer, dict) and isinstance(answer.get("ok"), bool):
            return answer
        said = f"Slack answered {method} with {response.status} and {response.excerpt()!r}."
        if is_idempotent or 300 <= response.status < 500:
            raise self._failed(f"{said} Check base_url of the sink, then run again.")
        raise self._unknown(said)


def judged(response: http.Response) -> http.Hitch | None:
    """Which answers are asked for again: Slack may say `ratelimited` with any status."""
    hitch = http.by_status(response)
    if hitch is not None or response.status != 200:
        return hitch
    try:
        answer = response.json()
    except http.HttpError:
        return None
    error = answer.get("error") if isinstance(answer, dict) else None
    if error in _DECLINED:
        return "declined"
    return "busy" if error in _MAY_HAVE_ACTED else None
