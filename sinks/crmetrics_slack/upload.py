"""The picture of a report: drawn, uploaded by the external flow, and waited for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from crmetrics.plugin import Message, SinkError, chart, http
from crmetrics_slack.api import Refused, SlackApi
from crmetrics_slack.blocks import Block
from crmetrics_slack.text import cut, escaped

log = logging.getLogger(__name__)

FILENAME = "kpis.png"
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 14.0)
"""Pauses between two looks at a file that Slack still works on: about 30 s in all."""

_MAX_ALT = 1_000


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG with the words for those who do not see it."""

    png: bytes
    alt: str

    @classmethod
    def of(cls, message: Message) -> Picture | None:
        """The courses of the KPIs; None when there is nothing to draw, or to draw it with."""
        if not chart.drawable(message):
            return None
        try:
            png = chart.trend_png(message)
        except chart.ChartError as exc:
            log.info("no picture: %s", exc)
            return None
        titles = ", ".join(f"{line.title} {line.value_text}" for line in chart.drawable(message))
        return cls(png, cut(escaped(f"{message.title}: {titles}"), _MAX_ALT))

    @property
    def request(self) -> dict[str, str]:
        """What announces the file."""
        return {"filename": FILENAME, "length": str(len(self.png)), "alt_txt": self.alt}

    def block(self, file_id: str) -> Block:
        return {"type": "image", "slack_file": {"id": file_id}, "alt_text": self.alt}


def upload(
    api: SlackApi,
    files: http.Session,
    picture: Picture,
    title: str,
    *,
    sleep: Callable[[float], None],
) -> str:
    """The id of the uploaded file, once Slack can show it; empty when that does not succeed.

    A report is worth more than its picture: whatever goes wrong here is logged and no error.
    files: a session without the token, which an upload address must not get.
    """
    try:
        offer = api.call("files.getUploadURLExternal", form=picture.request)
        with files.request(
            "POST",
            str(offer["upload_url"]),
            body=picture.png,
            headers={"Content-Type": "application/octet-stream"},
            is_idempotent=True,
        ) as stored:
            if stored.status != 200:
                log.warning("the chart was not stored: Slack answered %d", stored.status)
                return ""
        file_id = str(offer["file_id"])
        api.call("files.completeUploadExternal", {"files": [{"id": file_id, "title": title[:150]}]})
        return file_id if _is_ready(api, file_id, sleep) else ""
    except (Refused, SinkError, http.HttpError, KeyError) as exc:
        log.warning("the chart is replaced by text: %s", exc)
        return ""


def _is_ready(api: SlackApi, file_id: str, sleep: Callable[[float], None]) -> bool:
    """Whether Slack has looked at the file. Without the scope to ask, posting will show it."""
    for wait_s in (*WAITS_S, None):
        try:
            answer = api.call("files.info", form={"file": file_id})
        except Refused as exc:
            return exc.error == "missing_scope"
        file = answer.get("file")
        if isinstance(file, dict) and file.get("mimetype"):
            return True
        if wait_s is not None:
            sleep(wait_s)
    log.warning("the chart is replaced by text: Slack still works on the file")
    return False
