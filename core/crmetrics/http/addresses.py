"""Addresses: which may be called, and what may be shown of them."""

from __future__ import annotations

import ipaddress
from types import MappingProxyType
from urllib.parse import urlsplit

from crmetrics.errors import ConfigError

_DEFAULT_PORTS = MappingProxyType({"http": 80, "https": 443})


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
    if scheme == "http" and not is_loopback(host):
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


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
