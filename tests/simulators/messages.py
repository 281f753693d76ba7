"""What goes over the wire: a call as it arrived, an answer as it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self
from urllib.parse import parse_qsl, unquote_plus


@dataclass
class Call:
    """A request. target: path and query as sent; headers: names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    status: int = 0

    @property
    def path(self) -> str:
        """The path as sent, percent signs included."""
        return self.target.partition("?")[0]

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @cached_property
    def line(self) -> str:
        """Method, path and query in clear text: `GET /query?q=SELECT Id FROM Account`."""
        return f"{self.method} {unquote_plus(self.target)}"

    @property
    def bearer(self) -> str:
        """The token of the Authorization header; empty without one."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """A response, and how it goes wrong on the wire.

    is_silent: nothing is ever sent. is_hung_up: the connection is closed instead; is_reset: it is
    reset. sent_share: only this part of the body is sent, under the Content-Length of the whole,
    before the line is cut.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_silent: bool = False
    is_hung_up: bool = False
    is_reset: bool = False
    sent_share: float | None = None

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(
            status, body, {"Content-Type": "application/json;charset=UTF-8", **(headers or {})}
        )

    @classmethod
    def text(cls, text: str, status: int = 200, content_type: str = "text/plain") -> Self:
        return cls(status, text.encode(), {"Content-Type": f"{content_type};charset=UTF-8"})

    @classmethod
    def html(cls, text: str, status: int = 200) -> Self:
        return cls.text(f"<html><body>{text}</body></html>", status, "text/html")

    @classmethod
    def silence(cls) -> Self:
        return cls(is_silent=True)

    @classmethod
    def hang_up(cls) -> Self:
        return cls(is_hung_up=True)

    @classmethod
    def reset(cls) -> Self:
        return cls(is_reset=True)

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        return replace(self, headers={**self.headers, **headers})
