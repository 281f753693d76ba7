"""Recording what services answered, without secrets, and replaying it without a network.

    with recording.to(folder): ...       every session opened inside writes what it exchanges
    with recording.replay(folder): ...   every session opened inside is answered from the folder
    with recording.suspended(): ...      sessions opened inside are neither

A recording is a folder of pairs: `00001.json` holds request, status and headers, `00001.body` the
answer's body. Known secrets, authorisation headers and what looks like a credential in a form or a
JSON body are masked, and so is whose an e-mail address is: all that stands before its `@`. Record
ids and figures are what was read: keep a recording as the data itself.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from crmetrics.errors import UsageError
from crmetrics.http.addresses import origin
from crmetrics.http.failures import HttpError
from crmetrics.http.masking import MASKED_NAME, masked, without_credentials
from crmetrics.http.transport import Incoming, Outgoing, Transport, Wire

_KEPT_HEADERS = re.compile(
    r"content-type|retry-after|link|sforce-.*|x-hubspot-ratelimit-.*|location", re.IGNORECASE
)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+ -]\d\d:?\d\d)?")
_EPOCH_MS = re.compile(r"\b\d{13}\b")

_active: _Recorder | _Player | None = None


def transport(*, proxy: str = "") -> Transport:
    """What a session sends with: the wire, recorded or replayed when that was asked for."""
    if isinstance(_active, _Player):
        return _active
    wire = Wire(proxy=proxy)
    return wire if _active is None else _Recording(wire, _active)


@contextlib.contextmanager
def to(folder: Path) -> Iterator[None]:
    """Record what sessions exchange that are opened inside. The folder must be new or empty.

    Raises UsageError when it is not.
    """
    global _active
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; a recording needs a folder of its own.")
    folder.mkdir(parents=True, exist_ok=True)
    before, _active = _active, _Recorder(folder)
    try:
        yield
    finally:
        _active = before


@contextlib.contextmanager
def replay(folder: Path) -> Iterator[None]:
    """Answer sessions opened inside from a recording; nothing is sent anywhere.

    A request is matched by method, address, parameters and body; instants in them may differ,
    because a later run asks for a later window. Names in e-mail addresses that the project file
    gives are masked otherwise than when it was recorded: the first request that is the same but for
    them says which is which, with the first that was recorded where several are. Raises UsageError
    when the folder holds none.
    """
    global _active
    before, _active = _active, _Player(folder)
    try:
        yield
    finally:
        _active = before


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Sessions opened inside reach the network and are not recorded, whatever holds outside: what
    is delivered is no matter of a recording of sources."""
    global _active
    before, _active = _active, None
    try:
        yield
    finally:
        _active = before


def _sanitised(outgoing: Outgoing) -> dict[str, Any]:
    parts = urlsplit(outgoing.url)
    query = parse_qsl(parts.query, keep_blank_values=True) + list((outgoing.params or {}).items())
    return {
        "method": outgoing.method,
        "path": masked(parts.path),
        # Names in decoded values: in an encoded text all of a query may look like one.
        "query": without_credentials(urlencode(sorted((k, masked(str(v))) for k, v in query))),
        "body": masked((outgoing.body or b"").decode("utf-8", "replace")),
    }


def _key(request: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes two requests the same: all of it but the instants."""
    query = urlencode(sorted(parse_qsl(request["query"], keep_blank_values=True)))
    plain = "\n".join(value for _, value in sorted(parse_qsl(query, keep_blank_values=True)))
    texts = (request["method"], request["path"], plain, request["body"])
    return tuple(_EPOCH_MS.sub("<ms>", _INSTANT.sub("<instant>", text)) for text in texts)


def _nameless(key: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(MASKED_NAME.sub("<name>", text) for text in key)


def _names(key: tuple[str, ...]) -> list[str]:
    return [name for text in key for name in MASKED_NAME.findall(text)]


class _Recorder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0
        self._lock = threading.Lock()

    def open(self) -> Path:
        with self._lock:
            self._number += 1
            return self.folder / f"{self._number:05}.json"


class _Recording:
    """A transport that writes down what another one exchanges."""

    def __init__(self, inner: Transport, recorder: _Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def send(self, outgoing: Outgoing) -> Incoming | HttpError:
        incoming = self._inner.send(outgoing)
        file = self._recorder.open()
        entry: dict[str, Any] = {"request": _sanitised(outgoing)}
        if isinstance(incoming, HttpError):
            entry["error"] = {
                "message": str(incoming),
                "is_outcome_unknown": incoming.is_outcome_unknown,
                "is_permanent": incoming.is_permanent,
            }
            file.write_text(json.dumps(entry, indent=1), encoding="utf-8")
            return incoming
        entry["status"] = incoming.status
        entry["headers"] = {
            name: masked(value)
            for name, value in incoming.headers.items()
            if _KEPT_HEADERS.fullmatch(name)
        }
        file.write_text(json.dumps(entry, indent=1), encoding="utf-8")
        return _Taped(incoming, file.with_suffix(".body"))

    def close(self) -> None:
        self._inner.close()


class _Taped:
    """An answer whose body is copied while it is read; masked when it is closed."""

    def __init__(self, incoming: Incoming, file: Path) -> None:
        self._incoming = incoming
        self._file = file
        self.status, self.headers = incoming.status, incoming.headers
        self.origin = incoming.origin

    def read(self) -> bytes:
        body = self._incoming.read()
        self._keep(body)
        return body

    def chunks(self, size: int) -> Iterator[bytes]:
        kept = bytearray()
        try:
            for chunk in self._incoming.chunks(size):
                kept += chunk
                yield chunk
        finally:
            self._keep(bytes(kept))

    def _keep(self, body: bytes) -> None:
        text = body.decode("utf-8", "surrogateescape")
        self._file.write_bytes(masked(text).encode("utf-8", "surrogateescape"))

    def close(self) -> None:
        self._incoming.close()


class _Player:
    """A transport that answers from a recording, each request with its answers in their order."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*.json"))
        if not files:
            raise UsageError(f"{folder} holds no recording.")
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, ...], deque[tuple[Path, Any]]] = defaultdict(deque)
        self._alike: dict[tuple[str, ...], dict[tuple[str, ...], None]] = defaultdict(dict)
        self._recorded: dict[str, str] = {}
        """Name as this process masks it -> as it was masked in the recording."""
        for file in files:
            entry = json.loads(file.read_text(encoding="utf-8"))
            key = _key(entry["request"])
            self._waiting[key].append((file, entry))
            self._alike[_nameless(key)][key] = None

    def send(self, outgoing: Outgoing) -> Incoming | HttpError:
        request = _sanitised(outgoing)
        with self._lock:
            waiting = self._waiting.get(self._key_of(request, outgoing))
            found = waiting.popleft() if waiting else None
        place = origin(outgoing.url)
        if found is None:
            return HttpError(
                f"{place}: the recording has no (further) answer to {request['method']} "
                f"{request['path']}.",
                is_outcome_unknown=False,
                is_permanent=True,
            )
        file, entry = found
        if "error" in entry:
            return HttpError(**entry["error"])
        return _Replayed(place, entry["status"], entry["headers"], file.with_suffix(".body"))

    def _key_of(self, request: Mapping[str, Any], outgoing: Outgoing) -> tuple[str, ...]:
        """The key of the recorded request that is the same, whoever it names by an address."""
        asked = f"{outgoing.url} {outgoing.params} {outgoing.body!r}"
        made = _key(request)
        key = tuple(
            MASKED_NAME.sub(lambda found: self._recorded.get(found[0], found[0]), text)
            for text in made
        )
        # What an answer of the recording named is asked for by that name, or was not recorded.
        own = [name for name in _names(made) if name not in asked and name not in self._recorded]
        if key in self._waiting or not own:
            return key
        for other in self._alike[_nameless(key)]:
            pairs = dict(zip(_names(made), _names(other), strict=True))
            told = {**self._recorded, **pairs}
            is_one_each = len({*told.values()}) == len(told)
            if is_one_each and all(self._recorded.get(k, v) == v for k, v in pairs.items()):
                self._recorded.update({name: pairs[name] for name in own})
                return other
        return key

    def close(self) -> None:
        """The recording serves every session."""


class _Replayed:
    def __init__(self, place: str, status: int, headers: Mapping[str, str], file: Path) -> None:
        from requests.structures import CaseInsensitiveDict

        self.origin, self.status = place, status
        self.headers: Mapping[str, str] = CaseInsensitiveDict(headers)
        self._file = file

    def read(self) -> bytes:
        return self._file.read_bytes() if self._file.exists() else b""

    def chunks(self, size: int) -> Iterator[bytes]:
        body = self.read()
        yield from (body[start : start + size] for start in range(0, len(body), size))

    def close(self) -> None:
        """Nothing is open."""
