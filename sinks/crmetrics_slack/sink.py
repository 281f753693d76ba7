"""The report of a job in a Slack channel: through an incoming webhook, or as a bot."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from crmetrics.plugin import (
    CheckResult,
    Delivery,
    Receipt,
    Secret,
    Settled,
    chart,
    chat,
    http,
    pause,
)
from crmetrics_slack.answers import meaning_of
from crmetrics_slack.api import POST_BUDGET, Api, Json, Refused, SlackApi, judged
from crmetrics_slack.blocks import Look, payload
from crmetrics_slack.bot import Bot, Report
from crmetrics_slack.history import UnreadableError, find, id_of, is_channel_id
from crmetrics_slack.rehearsal import Rehearsal
from crmetrics_slack.upload import Picture, upload

log = logging.getLogger(__name__)

_API = "https://slack.com/api/"
_PER_CHANNEL_S = 1.0
_NUMBERED = re.compile(r"xoxb-(\d+)-\d+-")


class SlackOptions(chat.ChatOptions):
    """Which channel, by which way, and what may be said there."""

    webhook_url: Secret | None = Field(
        default=None, description="incoming webhook; the whole address is a secret"
    )
    token: Secret | None = Field(
        default=None,
        description="bot token (xoxb-...) with chat:write, in place of webhook_url; files:write "
        "and files:read for charts, channels:history to find a message again",
    )
    channel: str | None = Field(
        default=None,
        description="with token: id of the channel (C...), or #name; by its name Slack is asked "
        "for a lost message only with channels:read (groups:read)",
    )
    base_url: str | None = Field(
        default=None,
        description="scheme and host in place of Slack's: a proxy, a test server",
    )
    charts: bool = Field(default=True, description="with token: a picture of the KPIs' courses")
    on_rerun: Literal["update", "thread", "new", "skip"] = Field(
        default="update",
        description="a report that has changed since it was posted: update the message and say in "
        "its thread which figures changed, post it into the thread, post it anew, or leave it. A "
        "webhook cannot update: it posts a correction when figures changed, unless skip",
    )
    mentions: dict[str, str] = Field(
        default_factory=dict,
        description="owner of a goal: id of the user (U...) or user group (S...) who is mentioned "
        "when the goal comes into trouble or out of it",
    )

    def required_extras(self) -> Iterable[str]:
        return ("charts",) if self.charts and self.token is not None else ()

    @field_validator("webhook_url")
    @classmethod
    def _safe_webhook(cls, webhook_url: Secret | None) -> Secret | None:
        if webhook_url is not None:
            chat.require_safe(webhook_url.reveal())
        return webhook_url

    @field_validator("base_url")
    @classmethod
    def _safe_base(cls, base_url: str | None) -> str | None:
        if base_url is not None:
            chat.require_safe(base_url)
        return base_url

    @field_validator("mentions")
    @classmethod
    def _ids(cls, mentions: dict[str, str]) -> dict[str, str]:
        for told in mentions.values():
            if not (told[:1] in ("U", "W", "S") and told.isalnum() and told.isascii()):
                raise ValueError("expected ids such as U0123ABCD of a user, S0123ABCD of a group")
        return mentions

    @model_validator(mode="after")
    def _one_way(self) -> SlackOptions:
        if (self.webhook_url is None) == (self.token is None):
            raise ValueError("expected webhook_url, or token with channel: one of the two")
        if self.token is not None and not self.channel:
            raise ValueError("token needs channel: the id of the channel (C...), or #name")
        if self.token is None and self.channel:
            raise ValueError("channel goes with token; a webhook has its own channel")
        return self


class SlackSink(chat.ChatSink):
    """One message per job, period, channel and definition; a bot keeps it up to date."""

    name = "slack"
    Config = SlackOptions
    config: SlackOptions

    def __init__(self, config: SlackOptions, context: Any) -> None:
        super().__init__(config, context)
        self._webhook: chat.Webhook | None = None
        if config.webhook_url is not None:
            self._webhook = chat.Webhook(config.webhook_url, config.base_url)

    def destination(self, delivery: Delivery) -> str:
        if self._webhook is not None:
            return self._webhook.destination
        return f"{http.origin(self._api_url)} {self.config.channel}"

    def destination_id(self, delivery: Delivery) -> str:
        if self._webhook is not None:
            return f"{self.name} {self._webhook.identity}"
        return f"{self.destination(delivery)}{self._workspace}"

    def destination_ids_of(self, receipt: Mapping[str, Any]) -> Iterable[str]:
        """Of a channel by the id that Slack answered with, and by its name if that was given."""
        origin, channel = http.origin(self._api_url), self._channel_of(receipt)
        went_to = str(receipt.get("destination", ""))
        if not (channel and went_to.startswith(f"{origin} ")):
            return ()
        by_id = f"{origin} {channel}"
        return (by_id,) if went_to == by_id else (by_id, f"{went_to}{self._number}", went_to)

    def _channel_of(self, receipt: Mapping[str, Any]) -> str:
        channel = (receipt.get("details") or {}).get("channel") or ""
        return channel if self._webhook is None and is_channel_id(channel) else ""

    @property
    def updates_in_place(self) -> bool:
        return self._webhook is None and self.config.on_rerun in ("update", "thread")

    def why_not_again(self, delivery: Delivery) -> str:
        if self.config.on_rerun == "skip":
            return "it is left as it is (on_rerun: skip)"
        return super().why_not_again(delivery) if self._webhook is not None else ""

    def settle(self, delivery: Delivery) -> Settled:
        if self._webhook is not None:
            return Settled("unknown")
        with self._opened() as (api, _):
            return find(api, delivery, self.config.channel or "", self.destination(delivery))

    def check(self) -> Iterable[CheckResult]:
        subject = f"sink {self.context.name}"
        if self._webhook is not None:
            message = "the webhook is set; whether it works shows only a message to the channel"
            return [CheckResult(subject, "ok", message)]
        return self._check_token(subject)

    def preview(self, delivery: Delivery) -> str:
        if self._webhook is not None:
            return _shown(self._webhook_payload(delivery))
        # With nothing to call, it is shown what stands there.
        anew = replace(delivery, previous={}, restated=())
        return _shown(self._rehearsed(delivery) or self._rehearsed(anew))

    def write(self, delivery: Delivery) -> Receipt:
        if self._webhook is not None:
            return self._post(self._webhook, delivery)
        with self._opened() as (api, files):
            store = partial(upload, api, files, sleep=self.sleep)
            bot = self._bot(api, delivery, store)
            return bot.deliver(self.config.on_rerun)

    # --- by webhook --------------------------------------------------------------------------

    def _webhook_payload(self, delivery: Delivery) -> Json:
        return payload(self.report(delivery), Look(mentions=self.config.mentions))

    def _post(self, webhook: chat.Webhook, delivery: Delivery) -> Receipt:
        """Send once; returns only when Slack said `ok`."""
        given = self._webhook_payload(delivery)
        body = _shown(given).encode("utf-8")
        answer = webhook.post(self, body)
        if answer.status == 400 and "blocks" in answer.text:
            log.warning("the report goes out as text alone: Slack answered %s", answer.shown)
            body = _shown({name: given[name] for name in given if name != "blocks"}).encode()
            answer = webhook.post(self, body)
        if answer.status != 200 or answer.text != "ok":
            is_refused = '"ok":false' in answer.text.replace(" ", "")
            if 200 <= answer.status < 300 and not is_refused:
                raise self.unknown(
                    f"Slack answered {answer.status} with {answer.shown!r}, expected 200 with 'ok'."
                )
            raise self.failed(
                f"Slack answered {answer.status} with {answer.shown!r}: "
                f"{meaning_of(answer.status, answer.text)}"
            )
        return Receipt(
            destination=self.destination(delivery),
            rows=len(delivery.message.kpis),
            reference=f"sha256:{hashlib.sha256(body).hexdigest()}",
            details={"bytes": len(body)},
        )

    # --- as a bot ----------------------------------------------------------------------------

    @property
    def _workspace(self) -> str:
        """Tells a channel from that of the same name in another workspace: every token of one has
        its number in front. Ids are told apart by themselves."""
        return "" if is_channel_id(self.config.channel or "") else self._number

    @property
    def _number(self) -> str:
        token = self.config.token.reveal() if self.config.token is not None else ""
        number = _NUMBERED.match(token)
        return f" of {number[1]}" if number else ""

    @property
    def _api_url(self) -> str:
        base = self.config.base_url
        if base is None:
            return _API
        path = urlsplit(base).path.rstrip("/")
        return base if path.endswith("/api") else f"{base.rstrip('/')}/api/"

    @contextmanager
    def _opened(self) -> Iterator[tuple[SlackApi, http.Session]]:
        """Slack for this token, and a session without it for what must not get it."""
        assert self.config.token is not None
        with self.open_api() as session, self.open_session() as files:
            yield SlackApi(session, failed=self.failed, unknown=self.unknown), files

    def open_api(self) -> http.Session:
        """The session that carries the token."""
        assert self.config.token is not None
        return http.Session(
            self._api_url,
            tokens=http.fixed(self.config.token),
            judge=judged,
            budgets={POST_BUDGET: http.Budget(1, _PER_CHANNEL_S)},
            **self.session_options(),
        )

    def sleep(self, seconds: float) -> None:
        """Wait for Slack to finish with a file."""
        if not pause(seconds):
            raise self.failed("the run was asked to end before Slack had finished with the chart.")

    def _bot(self, api: Api, delivery: Delivery, store: Callable[[Picture, str], str]) -> Bot:
        message = self.shown(delivery.message)
        return Bot(
            api,
            delivery,
            Report.of(message, self.config.mentions, has_chart=self.config.charts),
            upload=store,
            channel=self.config.channel or "",
            destination=self.destination(delivery),
            repeats=self.repeats_unknown,
            failed=self.failed,
            sleep=self.sleep,
        )

    def _rehearsed(self, delivery: Delivery) -> list[Json]:
        """What the bot would call; nothing of it is done or noted."""
        slack = Rehearsal()
        given = replace(delivery, keep=lambda receipt: None)
        self._bot(slack, given, slack.upload).deliver(self.config.on_rerun)
        return slack.calls

    def _is_found(self, api: SlackApi) -> bool:
        """Whether the id of the channel is known, without which Slack shows nothing of it."""
        try:
            return bool(id_of(api, self.config.channel or ""))
        except UnreadableError:
            return False

    def _check_token(self, subject: str) -> Iterator[CheckResult]:
        try:
            with self._opened() as (api, _):
                answer = api.call("auth.test", form={})
                is_found = self._is_found(api)
        except Refused as exc:
            yield CheckResult(subject, "error", str(exc), "Set the token of an installed app.")
            return
        except Exception as exc:  # noqa: BLE001 - a check reports everything
            yield CheckResult(subject, "error", str(exc), "Check the network and base_url.")
            return
        who = f"{answer.get('user', 'the bot')} in {answer.get('team', 'the workspace')}"
        message = f"the token works ({who}); whether {self.config.channel} takes a message shows "
        yield CheckResult(subject, "ok", f"{message}only a message")
        if not is_found:
            message = (
                f"a message whose answer is lost cannot be looked for in {self.config.channel}"
            )
            fix = "Set channel to its id (C..., in the channel's details), or add channels:read."
            yield CheckResult(subject, "warning", message, fix)
        if self.config.charts and not chart.is_installed():
            fix = "pip install 'crmetrics[charts]', or set charts: false."
            yield CheckResult(
                subject, "warning", "charts are drawn as text: resvg is not installed", fix
            )


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
