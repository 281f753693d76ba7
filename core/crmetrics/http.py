"""HTTP for connectors and sinks: the only module that touches the network.

    session = http.Session("https://api.example.com")
    response = session.request("GET", "/records", params={"limit": "100"})

A request is repeated only when that cannot do harm: idempotent methods after lost connections,
time-outs and 5xx; any method when the server was never reached or declined with 429. What may have
arrived without an answer is never repeated: `HttpError.is_outcome_unknown` says so.

Addresses can be secrets (webhooks). An error names scheme and host only, and keeps no cause,
because the exceptions of the layers below print the whole address.
"""

from __future__ import annotations

import email.utils
import ipaddress
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from crmetrics._version import __version__
from crmetrics.errors import ConfigError, CrmetricsError
from crmetrics.secrets import redact

if TYPE_CHECKING:
    import requests

USER_AGENT = f"crmetrics/{__version__}"

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_BUSY = frozenset({500, 502, 503, 504})
_DECLINED = 429
_DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})


class HttpError(CrmetricsError):
    """No answer was received.

    is_outcome_unknown: the request may have reached the server and taken effect.
    is_permanent: a repeat would fail the same way (a certificate, an address).
    """

    def __init__(
        self, message: str, *, is_outcome_unknown: bool, is_permanent: bool = False
    ) -> None:
        super().__init__(redact(message))
        self.is_outcome_unknown = is_outcome_unknown
        self.is_permanent = is_permanent


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, and for the next bytes of an answer."""

    connect_s: float = 10.0
    read_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently a request is repeated.

    attempts: tries in all. The pause doubles from `first_pause_s` up to `longest_pause_s`, each
    cut at random to between half and all of it. longest_wait_s: a server that asks for a longer
    pause (Retry-After) is not waited for; its answer is returned instead.
    """

    attempts: int = 5
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    longest_wait_s: float = 120.0

    def pause_s(self, attempt: int, share: float) -> float:
        """The pause after the attempt of this number (1 = the first); share: 0 to 1, random."""
        doubled = min(self.first_pause_s * 2.0 ** (attempt - 1), self.longest_pause_s)
        return doubled * (0.5 + share / 2)


class Response:
    """An answer of any status; read the body whole or as a stream, then close it."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        """Names are case-insensitive."""

    @property
    def is_ok(self) -> bool:
        return 200 <= self.status < 300

    @cached_property
    def body(self) -> bytes:
        """The whole body; raises HttpError when the connection breaks before its end."""
        return b"".join(self.stream())

    @property
    def text(self) -> str:
        """The whole body as UTF-8 text; bytes that are none become U+FFFD."""
        return self.body.decode("utf-8", errors="replace")

    def stream(self, chunk_bytes: int = 65_536) -> Iterator[bytes]:
        """The body in pieces, decompressed; can be read once, and not beside `body`.

        Raises HttpError when the connection breaks before the end.
        """
        import requests

        failure = ""
        try:
            yield from self._response.iter_content(chunk_bytes)
        except requests.RequestException as exc:
            failure = _reason(exc)
        if failure:
            raise HttpError(
                f"{origin(self._response.url)}: the answer broke off: {failure}.",
                is_outcome_unknown=True,
            )

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Session:
    """Connections to one service, with time limits, retries and a counter.

    base_url: what relative addresses are relative to; plain http only for this machine.
    `requests_sent` counts every attempt. sleep, chance and now are the clock and the dice of the
    retries.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        timeouts: Timeouts = Timeouts(),
        retries: Retries = Retries(),
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        import requests

        self.base_url = require_safe(base_url).rstrip("/") if base_url else ""
        self.requests_sent = 0
        self._headers = {"User-Agent": USER_AGENT, **headers}
        self._timeouts = timeouts
        self._retries = retries
        self._sleep, self._chance, self._now = sleep, chance, now
        # Its debug lines print the path of every request, which can be a secret.
        logging.getLogger("urllib3").setLevel(logging.INFO)
        self._session = requests.Session()
        # Without an auth of its own, requests sends what ~/.netrc holds for the host.
        self._session.auth = _no_auth

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        body: bytes | None = None,
        is_idempotent: bool | None = None,
    ) -> Response:
        """Send a request and give the answer, whatever its status; redirects are not followed.

        url: absolute, or a path below `base_url`. is_idempotent: whether a repeat does no harm;
        by default what HTTP says of the method. An answer of 429, or of 5xx to an idempotent
        request, is returned when the attempts are used up.
        Raises HttpError when there is no answer.
        """
        method = method.upper()
        repeatable = method in _IDEMPOTENT if is_idempotent is None else is_idempotent
        address = self._address(url)
        options: dict[str, Any] = {
            "params": params,
            "headers": {**self._headers, **headers},
            "data": body,
            "timeout": (self._timeouts.connect_s, self._timeouts.read_s),
            "allow_redirects": False,
            "stream": True,
        }
        if _is_loopback(urlsplit(address).hostname or ""):
            # A proxy's loopback is not ours.
            options["proxies"] = {"http": None, "https": None}
        answer = self._send_until_answered(method, address, options, repeatable)
        if isinstance(answer, HttpError):
            raise answer
        return answer

    def _send_until_answered(
        self, method: str, address: str, options: dict[str, Any], repeatable: bool
    ) -> Response | HttpError:
        attempt = 1
        while True:
            answer = self._send(method, address, options)
            pause_s = None
            if attempt < self._retries.attempts:
                pause_s = self._pause_before_repeat(answer, attempt, repeatable)
            if pause_s is None:
                return answer
            if isinstance(answer, Response):
                answer.close()
            self._sleep(pause_s)
            attempt += 1

    def _send(self, method: str, address: str, options: dict[str, Any]) -> Response | HttpError:
        import requests

        self.requests_sent += 1
        try:
            return Response(self._session.request(method, address, **options))
        except requests.RequestException as exc:
            # Returned, not raised from here: the exception below would stay attached to ours and
            # show the address in a traceback.
            return HttpError(
                f"{origin(address)}: {_reason(exc)}.",
                is_outcome_unknown=not _never_arrived(exc),
                is_permanent=_is_permanent(exc),
            )

    def _pause_before_repeat(
        self, answer: Response | HttpError, attempt: int, repeatable: bool
    ) -> float | None:
        """Seconds to wait before the request is sent again; None = take the answer as it is."""
        if isinstance(answer, HttpError):
            if answer.is_permanent or (answer.is_outcome_unknown and not repeatable):
                return None
            return self._retries.pause_s(attempt, self._chance())
        if answer.status != _DECLINED and not (repeatable and answer.status in _BUSY):
            return None
        asked_s = _retry_after_s(answer.headers.get("Retry-After", ""), self._now())
        if asked_s is None:
            return self._retries.pause_s(attempt, self._chance())
        return asked_s if asked_s <= self._retries.longest_wait_s else None

    def _address(self, url: str) -> str:
        if "://" in url:
            return require_safe(url)
        return f"{self.base_url}/{url.lstrip('/')}"

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


# --- addresses -------------------------------------------------------------------------------


def require_safe(url: str) -> str:
    """The address itself when it is https, or http to this machine.

    Raises ConfigError otherwise; the message shows scheme and host only.
    """
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname or ""
    except ValueError:
        scheme = host = ""
    if scheme not in ("http", "https") or not host:
        raise ConfigError(
            f"expected an address like https://host/path, found {origin(url)}. "
            "Check the value in the project file or its variable."
        )
    if scheme == "http" and not _is_loopback(host):
        raise ConfigError(
            f"{origin(url)} is not encrypted; plain http is only for this machine (localhost). "
            "Use https."
        )
    return url


def origin(url: str) -> str:
    """Scheme, host and port of an address: what may be shown of it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "an address that cannot be read"
    if not parts.scheme or not host:
        return "an address without scheme or host"
    shown = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme):
        shown += f":{port}"
    return f"{parts.scheme}://{shown}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- failures --------------------------------------------------------------------------------


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _never_arrived(exc: Exception) -> bool:
    """True when no byte of the request can have reached the server."""
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    if isinstance(exc, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    # NameResolutionError is a NewConnectionError.
    return _is_permanent(exc) or isinstance(_cause(exc), NewConnectionError | ConnectTimeoutError)


def _is_permanent(exc: Exception) -> bool:
    """True for a certificate that is not trusted, and for what requests refuses to send."""
    cause = _cause(exc)
    inner = cause.args[0] if cause is not None and cause.args else None
    return isinstance(inner, ssl.SSLCertVerificationError) or isinstance(exc, ValueError)


def _cause(exc: Exception) -> Any:
    """The exception of urllib3 below one of requests; None when there is none."""
    from urllib3.exceptions import MaxRetryError

    cause = exc.args[0] if exc.args else None
    return cause.reason if isinstance(cause, MaxRetryError) else cause


def _reason(exc: Exception) -> str:
    """What went wrong in plain words; never the text of the exception, which holds the address."""
    import requests
    from urllib3.exceptions import NameResolutionError

    if isinstance(_cause(exc), NameResolutionError):
        return "the host name is unknown"
    known: tuple[tuple[type[Exception], str], ...] = (
        (requests.exceptions.ConnectTimeout, "no connection within the time limit"),
        (requests.exceptions.ReadTimeout, "no answer within the time limit"),
        (requests.exceptions.SSLError, "the TLS connection failed (certificate or protocol)"),
        (requests.exceptions.ProxyError, "the proxy could not be used"),
    )
    for kind, words in known:
        if isinstance(exc, kind):
            return words
    if isinstance(exc, requests.exceptions.ConnectionError) and _never_arrived(exc):
        return "the connection was refused or could not be made"
    if isinstance(exc, requests.exceptions.ConnectionError):
        return "the connection was lost before the answer"
    return f"the request failed ({type(exc).__name__})"


def _retry_after_s(header: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date); None = it says nothing."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        until = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
