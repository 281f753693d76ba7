"""What a connector keeps beside the warehouse: tokens that rotate, jobs that a later run resumes.

The state of a dataset (`ReadRequest.save_state`) is committed with its rows. What must survive a
run that is killed before goes here: each entry is a small file of its own, written whole or not at
all, readable by its owner only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets as randomness
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crmetrics.errors import SourceError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}")


class SourceStorage:
    """Small JSON documents of one source by name; thread-safe, and safe against a kill.

    folder: where they lie; None = in memory only, for tests.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._memory: dict[str, str] = {}
        self._lock = threading.RLock()

    def read(self, name: str) -> dict[str, Any]:
        """The document of this name; empty when there is none or it cannot be read."""
        with self._lock:
            text = self._memory.get(name, "")
            if self._folder is not None:
                with contextlib.suppress(FileNotFoundError):
                    text = self._file(name).read_text(encoding="utf-8")
        try:
            found = json.loads(text) if text else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace the document; when this returns it is on disk.

        Raises SourceError when it cannot be written.
        """
        text = json.dumps(dict(document))
        with self._lock:
            if self._folder is None:
                self._memory[name] = text
                return
            try:
                _replace(self._file(name), text)
            except OSError as exc:
                raise SourceError(
                    f"{self._folder} cannot be written ({exc.strerror}). Make the folder writable."
                ) from None

    def delete(self, name: str) -> None:
        """Remove the document, if there is one."""
        with self._lock:
            self._memory.pop(name, None)
            if self._folder is not None:
                self._file(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Hold a lock of this name against other threads and other processes."""
        with self._lock:
            if self._folder is None:
                yield
                return
            from filelock import FileLock

            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._file(name).with_suffix(".lock")):
                yield

    def pages(self, name: str) -> PageLog:
        """The pages of a long read under this name; see `PageLog`."""
        return PageLog(self._file(name).with_suffix(".pages") if self._folder else None)

    def _file(self, name: str) -> Path:
        assert self._folder is not None
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a document")
        return self._folder / f"{name}.json"


class PageLog:
    """Pages of a long read, kept as they come, so that a killed run goes on where it stopped.

    A page stands in the file with its checksum as soon as `append` returns; what a kill left
    unfinished at the end is cut off. Without a file nothing is kept. One process at a time.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @property
    def note(self) -> dict[str, Any]:
        """What `begin` was given; empty when there is no log."""
        for body, _ in self._frames():
            with contextlib.suppress(ValueError):
                found = json.loads(body)
                return found if isinstance(found, dict) else {}
            break
        return {}

    def begin(self, note: Mapping[str, Any]) -> None:
        """A new log in place of the former one."""
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.delete()
            self.append(json.dumps(dict(note)).encode(), "")

    def append(self, body: bytes, position: str) -> None:
        """Keep a page. position: where to go on after it.

        Raises SourceError when it cannot be written.
        """
        if self._file is None:
            return
        tail = position.encode()
        head = _FRAME.pack(len(body), len(tail), zlib.crc32(tail, zlib.crc32(body)))
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "wb", buffering=0) as stream:
                stream.write(b"".join((head, body, tail)))
        except OSError as exc:
            raise SourceError(
                f"{self._file.parent} cannot be written ({exc.strerror}). Make room, or the folder "
                "writable."
            ) from None

    def kept(self) -> Iterator[tuple[bytes, str]]:
        """The pages in their order, each with its position; the file ends with the last of them."""
        frames = self._frames()
        next(frames, None)
        yield from frames

    def _frames(self) -> Iterator[tuple[bytes, str]]:
        if self._file is None or not self._file.is_file():
            return
        good = 0
        with self._file.open("rb") as stream:
            while head := stream.read(_FRAME.size):
                if len(head) < _FRAME.size:
                    break
                size, tail_size, checksum = _FRAME.unpack(head)
                body, tail = stream.read(size), stream.read(tail_size)
                if zlib.crc32(tail, zlib.crc32(body)) != checksum:
                    break
                good = stream.tell()
                yield body, tail.decode()
            is_torn = stream.seek(0, os.SEEK_END) > good
        if is_torn:
            os.truncate(self._file, good)

    def delete(self) -> None:
        """Remove the log, if there is one."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)


_FRAME = struct.Struct(">III")


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{file.name}.{randomness.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
