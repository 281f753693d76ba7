"""The wire: the only module that calls requests."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode, urlsplit

from crmetrics.deadline import Deadline
from crmetrics.http import compression
from crmetrics.http.addresses import is_loopback, origin
from crmetrics.http.failures import HttpError, broke_off, late, lost

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, and for the next bytes of an answer. total_s: for an
    attempt as a whole, from its begin to the last byte of its answer; None = no limit."""

    connect_s: float = 10.0
    read_s: float = 60.0
    total_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One attempt of a request. url: absolute. Its repr shows nothing that could be a secret."""

    method: str
    url: str = field(repr=False)
    params: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)


class Incoming(Protocol):
    """An answer whose body is still on its way. Header names are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    origin: str

    def read(self) -> bytes:
        """The whole body, decompressed. Raises HttpError when it breaks off."""

    def chunks(self, size: int) -> Iterator[bytes]:
        """The body in pieces, decompressed. Raises HttpError when it breaks off."""

    def close(self) -> None: ...


class Transport(Protocol):
    """Sends one attempt. A failure is returned, not raised: see `Wire.send`."""

    def send(self, outgoing: Outgoing) -> Incoming | HttpError: ...

    def close(self) -> None: ...


class Wire:
    """Connections over the network, kept open and shared by threads. proxy: for all addresses but
    this machine's; without it the environment's (`https_proxy`, `no_proxy`)."""

    def __init__(self, *, proxy: str = "", connections: int = 16) -> None:
        import http.cookiejar

        import requests

        # Its debug lines print the path of every request, which can be a secret.
        logging.getLogger("urllib3").setLevel(logging.INFO)
        self._proxy = proxy
        self._session = requests.Session()
        # Else requests sends what ~/.netrc holds for the host, and reads the environment anew for
        # every request, which costs as much as a small page.
        self._session.trust_env = False
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        self._session.verify = bundle or True
        self._known_proxies: dict[str, dict[str, str]] = {}
        self._session.headers["Accept-Encoding"] = "gzip, deflate"
        # Cookies would tie threads together, and answers to what came before.
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        from crmetrics.http.watched import Adapter

        for scheme in ("https://", "http://"):
            self._session.mount(scheme, Adapter(pool_maxsize=connections))

    def send(self, outgoing: Outgoing) -> Incoming | HttpError:
        if outgoing.timeouts.total_s is None:
            return self._send(outgoing)
        from crmetrics.http.watched import Attempt, attempting

        deadline = Deadline(outgoing.timeouts.total_s)
        attempt = Attempt(deadline)
        deadline.begin()
        with attempting(attempt):
            found = self._send(outgoing, deadline)
        if deadline.is_over:  # a head that was cut looks whole
            if isinstance(found, _Arriving):
                found.close()
            return late(origin(outgoing.url), deadline.why, may_have_arrived=attempt.is_sent)
        if isinstance(found, HttpError):
            deadline.end()
            found.is_outcome_unknown = found.is_outcome_unknown and attempt.is_sent
        return found

    def _send(self, outgoing: Outgoing, deadline: Deadline | None = None) -> _Arriving | HttpError:
        import requests

        try:
            return _Arriving(
                self._session.request(
                    outgoing.method,
                    _address(outgoing.url, outgoing.params),
                    headers=dict(outgoing.headers),
                    data=outgoing.body,
                    timeout=(outgoing.timeouts.connect_s, outgoing.timeouts.read_s),
                    allow_redirects=False,
                    stream=True,
                    proxies=self._proxies(outgoing.url),
                ),
                deadline,
            )
        except requests.RequestException as exc:
            # Returned, not raised from here: the exception below would stay attached to ours and
            # show the address in a traceback.
            return lost(origin(outgoing.url), exc)

    def _proxies(self, url: str) -> dict[str, str]:
        """Scheme -> proxy for this address; looked up once per host."""
        from requests.utils import get_environ_proxies

        host = urlsplit(url).hostname or ""
        if host not in self._known_proxies:
            proxies = {"http": self._proxy, "https": self._proxy}
            if is_loopback(host):  # a proxy's loopback is not ours
                proxies = {}
            elif not self._proxy:
                proxies = dict(get_environ_proxies(url))
            self._known_proxies[host] = proxies
        return self._known_proxies[host]

    def close(self) -> None:
        self._session.close()


def _address(url: str, params: Mapping[str, str] | None) -> str:
    """The address with its query. Commas stay: each escape is looked at several times on the way,
    and a list of 40 names would cost a twentieth of a page."""
    if not params:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params, safe=',')}"


class _Arriving:
    def __init__(self, response: requests.Response, deadline: Deadline | None = None) -> None:
        self._response, self._deadline = response, deadline
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.origin = origin(response.url)

    def read(self) -> bytes:
        import urllib3

        failure: HttpError | None = None
        try:
            # Straight from the connection: pieces of 64 kB would cost a third more.
            body = bytes(self._response.raw.read(decode_content=not self._is_ours))
            whole = b"".join(self._inflated([body])) if self._is_ours else body
        except (urllib3.exceptions.HTTPError, OSError, EOFError, zlib.error) as exc:
            failure = broke_off(self.origin, exc)
        failure = self._late() or failure
        self._end()
        if failure is not None:
            raise failure
        return whole

    def chunks(self, size: int) -> Iterator[bytes]:
        import urllib3

        failure: HttpError | None = None
        try:
            pieces = self._response.raw.stream(size, decode_content=not self._is_ours)
            for piece in self._inflated(pieces, size) if self._is_ours else pieces:
                if self._late():
                    break
                yield piece
        except (urllib3.exceptions.HTTPError, OSError, EOFError, zlib.error) as exc:
            failure = broke_off(self.origin, exc)
        failure = self._late() or failure
        self._end()
        if failure is not None:
            raise failure

    def _late(self) -> HttpError | None:
        """The error when the time was up before the end; what was read may look whole."""
        if self._deadline is None or not self._deadline.is_over:
            return None
        return late(self.origin, self._deadline.why, may_have_arrived=True)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.end()

    @property
    def _encoding(self) -> str:
        return self.headers.get("Content-Encoding", "").strip().lower()

    @property
    def _is_ours(self) -> bool:
        """False for a body that is plain, or of an encoding that nobody asked for."""
        return self._encoding in compression.KNOWN

    def _inflated(self, pieces: Iterable[bytes], size: int = 0) -> Iterator[bytes]:
        inflation = compression.Inflation(self._encoding)
        for piece in pieces:
            yield from inflation.feed(piece, size)
        inflation.end()

    def close(self) -> None:
        self._response.close()
        self._end()
