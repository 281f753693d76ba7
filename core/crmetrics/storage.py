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
import threading
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

    def _file(self, name: str) -> Path:
        assert self._folder is not None
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a document")
        return self._folder / f"{name}.json"


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
