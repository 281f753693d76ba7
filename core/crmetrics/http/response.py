"""An answer, and what can be learnt from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from crmetrics.http.failures import HttpError, StatusError
from crmetrics.http.instants import instant_of
from crmetrics.http.transport import Incoming
from crmetrics.secrets import Secret, redact

_SHOWN = 300  # characters of a body in a message


class Response:
    """An answer of any status; read the body whole or as a stream, then close it.

    token: the access token that the request was sent with, None without one.
    """

    def __init__(self, incoming: Incoming, token: Secret | None = None) -> None:
        self._incoming = incoming
        self.status = incoming.status
        self.headers: Mapping[str, str] = incoming.headers
        """Names are case-insensitive."""
        self.token = token

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def answered_at(self) -> datetime | None:
        """When that was by the server's clock, to the second; None where it does not say."""
        return instant_of(self.headers.get("Date", ""))

    @cached_property
    def body(self) -> bytes:
        """The whole body; raises HttpError when the connection breaks before its end."""
        return self._incoming.read()

    @property
    def text(self) -> str:
        """The whole body as UTF-8 text; bytes that are none become U+FFFD."""
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises HttpError when it is none: a proxy's page, a torn answer."""
        try:
            return json.loads(self.body)
        except ValueError:
            pass
        raise HttpError(
            f"{self._incoming.origin} answered {self.status} with something that is no JSON: "
            f"{self.excerpt()!r}.",
            is_outcome_unknown=True,
        )

    def stream(self, chunk_bytes: int = 65_536) -> Iterator[bytes]:
        """The body in pieces, decompressed; can be read once, and not beside `body`.

        Raises HttpError when the connection breaks before the end.
        """
        return self._incoming.chunks(chunk_bytes)

    def excerpt(self) -> str:
        """The first characters of the body on one line, secrets masked: for messages."""
        return redact(" ".join(self.text[: 4 * _SHOWN].split()))[:_SHOWN]

    def require_ok(self, what: str = "the request") -> Self:
        """The answer itself when its status is 2xx. Raises StatusError otherwise."""
        if self.is_ok:
            return self
        body = self.excerpt()
        self.close()
        raise StatusError(
            f"{self._incoming.origin} answered {what} with {self.status}: {body or 'no body'}.",
            status=self.status,
            body=body,
        )

    def close(self) -> None:
        self._incoming.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
