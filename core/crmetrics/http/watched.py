"""Connections that a deadline can shut down; imported where a request is sent first."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from crmetrics.deadline import Deadline


class Attempt:
    """One attempt of a request. is_sent: a byte of it may have left."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.is_sent = False
        self._has_connection = False

    def connected(self, connection: socket.socket) -> None:
        self._has_connection = True
        self.deadline.watch(connection)

    def sends(self, connection: socket.socket) -> None:
        if not self._has_connection:  # one of an earlier request, kept open
            self.connected(connection)
        self.is_sent = True


_of_thread = threading.local()


@contextmanager
def attempting(attempt: Attempt) -> Iterator[None]:
    """Inside, this thread connects and sends as part of the attempt."""
    _of_thread.attempt = attempt
    try:
        yield
    finally:
        _of_thread.attempt = None


def _current() -> Attempt | None:
    return getattr(_of_thread, "attempt", None)


class _Watched(HTTPConnection):
    """A connection that says when it is made and when it is used."""

    _asks_proxy = False

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        attempt = _current()
        if attempt is not None:
            attempt.connected(connection)
        return connection

    def _tunnel(self) -> None:
        # What a proxy is asked for a way is no part of the request.
        self._asks_proxy = True
        try:
            super()._tunnel()
        finally:
            self._asks_proxy = False

    def send(self, data: Any) -> None:
        attempt = _current()
        if attempt is not None and not self._asks_proxy:
            if self.sock is None:
                self.connect()
            assert self.sock is not None
            attempt.sends(self.sock)
        super().send(data)


class _WatchedTls(HTTPSConnection, _Watched):
    """The same, encrypted: what is watched lies below the encryption."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


_POOLS = MappingProxyType({"http": _Pool, "https": _TlsPool})


class Adapter(HTTPAdapter):
    """Brings such connections into a session of requests, also by way of a proxy."""

    def init_poolmanager(self, *words: Any, **options: Any) -> None:
        super().init_poolmanager(*words, **options)
        self.poolmanager.pool_classes_by_scheme = dict(_POOLS)

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = dict(_POOLS)
        return manager
