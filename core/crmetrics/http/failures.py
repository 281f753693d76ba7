"""What goes wrong on the way, in plain words and sorted by what may be done about it.

HttpError           no usable answer: lost, timed out, broken off, not what was asked for
└── StatusError     an answer with a status that the caller did not expect
"""

from __future__ import annotations

import ssl
import zlib
from typing import Any

from crmetrics.errors import SourceError
from crmetrics.http.addresses import origin
from crmetrics.secrets import redact


class HttpError(SourceError):
    """No usable answer was received: for a connector, its source failed; a sink translates it.

    is_outcome_unknown: the request may have reached the server and taken effect.
    is_permanent: a repeat would fail the same way (a certificate, an address).
    """

    def __init__(
        self, message: str, *, is_outcome_unknown: bool, is_permanent: bool = False
    ) -> None:
        super().__init__(redact(message))
        self.is_outcome_unknown = is_outcome_unknown
        self.is_permanent = is_permanent


class StatusError(HttpError):
    """The answer has a status other than 2xx. status; body: its first bytes, secrets masked."""

    def __init__(self, message: str, *, status: int, body: str = "") -> None:
        super().__init__(message, is_outcome_unknown=status >= 500, is_permanent=status < 429)
        self.status = status
        self.body = redact(body)


def lost(address_origin: str, exc: Exception) -> HttpError:
    """The error for a request that got no answer; the address itself is not shown."""
    return HttpError(
        f"{address_origin}: {reason(exc)}.",
        is_outcome_unknown=not never_arrived(exc),
        is_permanent=is_permanent(exc),
    )


def broke_off(address_origin: str, exc: Exception) -> HttpError:
    """The error for an answer whose body did not come whole."""
    return HttpError(
        f"{address_origin}: the answer broke off: {_body_reason(exc)}.", is_outcome_unknown=True
    )


def late(address_origin: str, why: str, *, may_have_arrived: bool) -> HttpError:
    """The error for an attempt that took longer than it may."""
    return HttpError(f"{address_origin}: {why}.", is_outcome_unknown=may_have_arrived)


def ended(url: str, status: int | None = None) -> HttpError:
    """The error for a request that waited when the program was asked to end. status: the last
    answer, which asked to come back later; None = it was never sent."""
    why = "not sent" if status is None else f"answered {status} and not asked again"
    return HttpError(
        f"{origin(url)}: {why}, because the program was asked to end.",
        is_outcome_unknown=status is not None and status >= 500,
    )


def never_arrived(exc: Exception) -> bool:
    """True when no byte of the request can have reached the server."""
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    if isinstance(exc, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    # NameResolutionError is a NewConnectionError.
    return is_permanent(exc) or isinstance(_cause(exc), NewConnectionError | ConnectTimeoutError)


def is_permanent(exc: Exception) -> bool:
    """True for a certificate that is not trusted, and for what requests refuses to send."""
    cause = _cause(exc)
    inner = cause.args[0] if cause is not None and getattr(cause, "args", None) else None
    return isinstance(inner, ssl.SSLCertVerificationError) or isinstance(exc, ValueError)


def _cause(exc: Exception) -> Any:
    """The exception of urllib3 below one of requests; None when there is none."""
    from urllib3.exceptions import MaxRetryError

    cause = exc.args[0] if exc.args else None
    return cause.reason if isinstance(cause, MaxRetryError) else cause


def reason(exc: Exception) -> str:
    """Why a request got no answer; never the text of the exception, which holds the address."""
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
    if isinstance(exc, requests.exceptions.ConnectionError) and never_arrived(exc):
        return "the connection was refused or could not be made"
    if isinstance(exc, requests.exceptions.ConnectionError):
        return "the connection was lost before the answer"
    return f"the request failed ({type(exc).__name__})"


def _body_reason(exc: Exception) -> str:
    """Why a body did not come whole."""
    from urllib3 import exceptions

    if isinstance(exc, exceptions.ReadTimeoutError):
        return "nothing came within the time limit"
    if isinstance(exc, exceptions.DecodeError | zlib.error):
        return "its compression cannot be read"
    return "the connection was lost before its end"
