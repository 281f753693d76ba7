"""What was found out about SQL texts, kept between processes.

The file holds results of pure functions under the whole text that they are about, never SQL to be
trusted: a changed definition is another text. It is written in one piece, read only if it was
written by this very code and this very sqlglot, and may be deleted at any time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_MAX_ENTRIES = 5_000
_CODE = ("conditions.py", "expressions.py", "memory.py", "trees.py")
_PARSER = ("_version.py", "parser.py", "generator.py", "dialects/duckdb.py")


class Memory:
    """Results by the name of the function and its arguments, which are texts."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._used: set[str] = set()
        self._is_changed = False
        self._loaded: set[Path] = set()

    def get(self, name: str, arguments: Sequence[str]) -> Any:
        """What was found out; None if nothing was."""
        key = _key(name, arguments)
        self._used.add(key)
        return self._known.get(key)

    def put(self, name: str, arguments: Sequence[str], value: Any) -> None:
        self._known[_key(name, arguments)] = value
        self._is_changed = True

    def load(self, file: Path) -> None:
        """Add what a file holds; one that cannot be used is as good as none."""
        if file in self._loaded:
            return
        self._loaded.add(file)
        try:
            mark, digest, body = file.read_text("utf-8").split("\n", 2)
            if mark == fingerprint() and digest == _digest(body):
                self._known = {**json.loads(body), **self._known}
        except (OSError, ValueError):
            return

    def save(self, file: Path) -> None:
        """Write what is new; nothing where nothing can be written."""
        if not self._is_changed:
            return
        kept = list(self._known.items())
        if len(kept) > _MAX_ENTRIES:
            kept = [item for item in kept if item[0] in self._used][-_MAX_ENTRIES:]
        body = json.dumps(dict(kept), ensure_ascii=False, separators=(",", ":"))
        new = file.with_name(f"{file.name}.{os.getpid()}")
        with suppress(OSError):
            file.parent.mkdir(exist_ok=True)
            try:
                new.write_text(f"{fingerprint()}\n{_digest(body)}\n{body}", "utf-8")
                new.replace(file)
            finally:
                new.unlink(missing_ok=True)
        self._is_changed = False


def fingerprint() -> str:
    """Changes when the code that finds things out changes, ours or sqlglot's."""
    here = Path(__file__).parent
    found = sha256(b"".join((here / name).read_bytes() for name in _CODE))
    spec = find_spec("sqlglot")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else here
    for name in _PARSER:
        with suppress(OSError):
            stat = (folder / name).stat()
            found.update(f"{folder / name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _key(name: str, arguments: Sequence[str]) -> str:
    return json.dumps([name, *arguments], ensure_ascii=False)


def _digest(body: str) -> str:
    return sha256(body.encode()).hexdigest()


MEMORY = Memory()
"""The memory of this process."""


@contextmanager
def remembering(folder: Path) -> Iterator[None]:
    """Use what the folder of a project remembers, and add to it what is found out."""
    file = folder / ".crmetrics" / "expressions.json"
    MEMORY.load(file)
    yield
    MEMORY.save(file)
