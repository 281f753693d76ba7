"""Replace files so that a reader, or a kill at any moment, meets the old or the new one, whole."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_hex

_SUFFIX = ".crmetrics-tmp"
_DRAFT = re.compile(rf"\.(?P<name>.+)\.[0-9a-f]+{re.escape(_SUFFIX)}")


class PartlyReplacedError(OSError):
    """Moving failed: some files are new, others old, and their checksums are gone."""


def replace_files(
    writers: Mapping[Path, Callable[[Path], None]], sums: Path | None = None
) -> dict[Path, str]:
    """Write every file beside its place, and move them in only when all are on the disk; the
    sha256 of each.

    writers: final path -> what writes the file to the path it is given. sums: the file of their
    checksums, in their folder; an old one is away while they are moved, so that none is ever there
    that does not fit them. What an earlier process left behind when it was killed is removed.
    Raises OSError; then nothing was moved, or PartlyReplacedError.
    """
    written: dict[Path, Path] = {}
    digests: dict[Path, str] = {}
    try:
        for target, write in writers.items():
            written[target] = _draft(target, write)
            digests[target] = sha256_of(written[target])
        if sums is None:
            _move_in(written)
        else:
            named = {target.name: digest for target, digest in digests.items()}
            _move_in_with_sums(written, sums, checksum_lines(named))
    finally:
        for draft in written.values():
            draft.unlink(missing_ok=True)
    return digests


def checksum_lines(digests: Mapping[str, str]) -> str:
    """Lines for `sha256sum --check`, run in the folder of the files: name -> sha256."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def _draft(target: Path, write: Callable[[Path], None]) -> Path:
    """The file under a name of its own, on the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    draft = _beside(target)
    try:
        write(draft)
        _settle(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{token_hex(4)}{_SUFFIX}")


def _move_in(written: Mapping[Path, Path]) -> None:
    is_begun = False
    try:
        for target, draft in written.items():
            draft.replace(target)
            is_begun = True
        for folder in {target.parent for target in written}:
            _sync_folder(folder)
    except OSError as exc:
        if is_begun:
            raise PartlyReplacedError(exc.errno, exc.strerror, exc.filename) from exc
        raise


def _move_in_with_sums(written: Mapping[Path, Path], sums: Path, lines: str) -> None:
    """The old checksums aside, the files in, the new checksums in."""
    if sums.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(sums))

    def write(path: Path) -> None:
        path.write_text(lines, encoding="utf-8")

    draft = _draft(sums, write)
    aside = _beside(sums)
    try:
        if sums.exists():
            sums.replace(aside)
            _sync_folder(sums.parent)
        try:
            _move_in(written)
        except PartlyReplacedError:
            raise
        except OSError:
            if aside.exists():
                aside.replace(sums)  # still those of the files that are there
            raise
        try:
            _move_in({sums: draft})
        except OSError as exc:
            raise PartlyReplacedError(exc.errno, exc.strerror, exc.filename) from exc
    finally:
        draft.unlink(missing_ok=True)
        aside.unlink(missing_ok=True)


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
