"""What a delivery would call, without calling it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crmetrics_slack.api import Json
from crmetrics_slack.upload import Picture

_BY_SLACK = "(given by Slack)"


class Rehearsal:
    """In Slack's place: notes every call and says yes to it. What only Slack can give, the ids of
    messages and files, is named as such."""

    def __init__(self) -> None:
        self.calls: list[Json] = []

    def call(
        self,
        method: str,
        body: Mapping[str, Any] | None = None,
        *,
        form: Mapping[str, str] | None = None,
        **_: Any,
    ) -> Json:
        sent: Json = {**(body or {}), **(form or {})}
        self.calls.append({"method": method, "body": sent})
        return {"ok": True, "channel": sent.get("channel", ""), "ts": sent.get("ts", _BY_SLACK)}

    def upload(self, picture: Picture, title: str) -> str:
        """Note the announcement of a picture; its bytes show nobody anything."""
        self.call("files.getUploadURLExternal", form=picture.request)
        return _BY_SLACK
