"""Replace files so that a reader, or a kill at any moment, meets the old or the new one, whole."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex

_SUFFIX = ".crmetrics-tmp"
_DRAFT = re.compile(rf"\.(?P<name>.+)\.[0-9a-f]+{re.escape(_SUFFIX)}")


def replace_files(writers: Mapping[Path, Callable[[Path], None]]) -> None:
    """Write every file beside its place, and move them in only when all are on the disk.

    writers: final path -> what writes the file to the path it is given. What an earlier process
    left behind when it was killed is removed. Raises OSError; then nothing was moved, or, when
    moving itself failed, some files are new and the others old.
    """
    written: dict[Path, Path] = {}
    try:
        for target, write in writers.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(target)
            draft = target.with_name(f".{target.name}.{token_hex(4)}{_SUFFIX}")
            written[target] = draft
            write(draft)
            _settle(draft, target)
        for target, draft in written.items():
            draft.replace(target)
        for folder in {target.parent for target in written}:
            _sync_folder(folder)
    finally:
        for draft in written.values():
            draft.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def target_of(path: Path) -> Path:
    """The file that a draft is for; any other path is itself."""
    match = _DRAFT.fullmatch(path.name)
    return path.with_name(match["name"]) if match else path


def _remove_leftovers(target: Path) -> None:
    prefix = f".{target.name}."
    for entry in target.parent.iterdir():
        if entry.name.startswith(prefix) and entry.name.endswith(_SUFFIX):
            entry.unlink(missing_ok=True)


def _settle(draft: Path, target: Path) -> None:
    """Onto the disk before it gets its name, with the rights of the file that it replaces."""
    if target.exists():
        draft.chmod(stat.S_IMODE(target.stat().st_mode))
    with draft.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new names durable, where the system can open folders."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
