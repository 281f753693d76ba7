"""Where files are put: a folder of this machine, or an object store through fsspec.

Both give a reader the old file or the new one, whole, whenever a writer is killed.
"""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from crmetrics.plugin import Secret
from crmetrics_files.replacing import (
    PartlyReplacedError,
    checksum_lines,
    replace_files,
    sha256_of,
    target_of,
)
from crmetrics_files.waiting import CutError, Patience

Writers = Mapping[str, Callable[[Path], None]]
"""Name of a file below the folder -> what writes it to a path of this machine."""

EXTRAS: Mapping[str, str] = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure",
                             "abfs": "azure", "abfss": "azure", "adl": "azure"}  # fmt: skip


class StoreError(Exception):
    """The store refused; the message is fit to show. name: the file, where it is known. is_begun:
    some of the files are new. is_late: it was not refused, but not done in time; it may be new."""

    def __init__(
        self, message: str, name: str = "", *, is_begun: bool = False, is_late: bool = False
    ) -> None:
        super().__init__(message)
        self.name, self.is_begun, self.is_late = name, is_begun, is_late


class Store(ABC):
    """A place for files, by their names below it."""

    def begin(self) -> None:  # noqa: B027 - a folder has no limit
        """An attempt begins: where there is a limit to its time, it counts from now on."""

    @abstractmethod
    def put(self, writers: Writers, sums: str = "") -> list[dict[str, Any]]:
        """Write files; for each its path, bytes and sha256. sums: the name of the file of their
        checksums, which at no moment has those of other files. Raises StoreError."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A small file; None when there is none."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take a file away; one that is not there is none."""

    @abstractmethod
    def shown(self, name: str) -> str:
        """A file as it may be shown."""

    @abstractmethod
    def why_not(self) -> str:
        """Why nothing can be written here, as far as can be told without writing; empty = nothing
        speaks against it."""

    @property
    def may_be_listed(self) -> bool:
        """Whether what is here can be seen; files are written without that."""
        return True


class Folder(Store):
    """A folder of this machine; shown relative to the project where it lies inside."""

    def __init__(self, path: Path, project: Path) -> None:
        self._path, self._project = project / path, project

    def put(self, writers: Writers, sums: str = "") -> list[dict[str, Any]]:
        targets = {name: self._path / name for name in writers}
        files = {targets[name]: write for name, write in writers.items()}
        try:
            digests = replace_files(files, self._path / sums if sums else None)
            return [
                {
                    "path": self.shown(name),
                    "bytes": target.stat().st_size,
                    "sha256": digests[target],
                }
                for name, target in targets.items()
            ]
        except OSError as exc:
            place = self._shown(target_of(Path(exc.filename))) if exc.filename else ""
            is_begun = isinstance(exc, PartlyReplacedError)
            raise StoreError(exc.strerror or str(exc), place, is_begun=is_begun) from exc

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StoreError(exc.strerror or str(exc), self.shown(name)) from exc

    def remove(self, name: str) -> None:
        try:
            (self._path / name).unlink(missing_ok=True)
        except OSError as exc:
            raise StoreError(exc.strerror or str(exc), self.shown(name)) from exc

    def shown(self, name: str) -> str:
        return self._shown(self._path / name)

    def why_not(self) -> str:
        existing = next(place for place in (self._path, *self._path.parents) if place.exists())
        if not existing.is_dir():
            return f"{self._shown(existing)} is not a folder"
        if not os.access(existing, os.W_OK | os.X_OK):
            return f"{self._shown(existing)} cannot be written to"
        return ""

    def _shown(self, path: Path) -> str:
        if path.is_relative_to(self._project):
            return path.relative_to(self._project).as_posix()
        return path.as_posix()


class Bucket(Store):
    """An object store: a file appears when it is there as a whole.

    url: such as s3://bucket/prefix. options: for its file system, such as key, secret and
    endpoint_url; without any the machine's own credentials are used. timeout: seconds that an
    attempt may take.
    """

    def __init__(self, url: str, options: Mapping[str, Any], timeout: float) -> None:
        self._url = url.rstrip("/")
        self._patience = Patience(timeout)
        self._options = {
            key: value.reveal() if isinstance(value, Secret) else value
            for key, value in options.items()
        }
        self._files: Any = None

    def begin(self) -> None:
        self._patience.begin()

    @property
    def _scheme(self) -> str:
        return self._url.partition("://")[0]

    def put(self, writers: Writers, sums: str = "") -> list[dict[str, Any]]:
        """Drafted on this machine, uploaded, and looked at: the size there is the size here. Old
        checksums are emptied first, unseen: to remove them, or to ask whether there are any, takes
        a right that a writer need not have."""
        written: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory(prefix="crmetrics") as folder:
            drafts: dict[str, Path] = {}
            for number, (name, write) in enumerate(writers.items()):
                drafts[name] = Path(folder) / f"{number}{PurePosixPath(name).suffix}"
                write(drafts[name])
            lines = Path(folder) / "sums"
            lines.touch()
            if sums:
                self._upload(lines, sums)
            try:
                for name, draft in drafts.items():
                    written.append(self._upload(draft, name))
                if sums:
                    digests = {
                        PurePosixPath(str(one["path"])).name: one["sha256"] for one in written
                    }
                    lines.write_text(checksum_lines(digests), encoding="utf-8")
                    self._upload(lines, sums)
            except StoreError as exc:
                exc.is_begun = exc.is_begun or bool(written)
                raise
        return written

    def _upload(self, draft: Path, name: str) -> dict[str, Any]:
        size = draft.stat().st_size
        with self._errors(name):
            self._ask("put_file", str(draft), self._target(name))
            self._system.invalidate_cache()
            found = self._ask("info", self._target(name))["size"]
        if found != size:
            message = f"{found} bytes arrived of {size}"
            raise StoreError(message, self.shown(name), is_begun=True)
        return {"path": self.shown(name), "bytes": size, "sha256": sha256_of(draft)}

    def read(self, name: str) -> bytes | None:
        with self._errors(name):
            try:
                self._system.invalidate_cache()
                return bytes(self._ask("cat_file", self._target(name)))
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        with self._errors(name):
            try:
                self._ask("rm_file", self._target(name))
            except FileNotFoundError:
                return

    def shown(self, name: str) -> str:
        return f"{self._url}/{name}"

    def why_not(self) -> str:
        try:
            with self._errors(""):
                if self._lists(self._url):
                    return ""
                # A prefix that holds nothing yet does not exist; its bucket does.
                bucket = "/".join(self._url.split("/")[:3])
                return "" if self._lists(bucket) else f"{bucket} does not exist or cannot be seen"
        except StoreError as exc:
            return f"{self._url}: {exc}"

    def _lists(self, url: str) -> bool:
        try:
            self._ask("ls", url)
        except FileNotFoundError:
            return False
        except PermissionError as exc:
            # Who may write below a prefix need not see all of its bucket, nor what is there.
            if url == self._url and not _is_no_right(exc):
                raise
        return True

    @property
    def may_be_listed(self) -> bool:
        try:
            self._ask("ls", self._url)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        return True

    def _ask(self, what: str, *given: Any) -> Any:
        return self._patience.ask(self._system, what, *given)

    def _target(self, name: str) -> str:
        return f"{self._url}/{name}"

    @property
    def _system(self) -> Any:
        if self._files is None:
            import fsspec

            self._files = fsspec.filesystem(self._scheme, **self._options)
        return self._files

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        extra = EXTRAS.get(self._scheme, self._scheme)
        place = self.shown(name) if name else self._url
        try:
            yield
        except ImportError:
            raise StoreError(
                f"{self._scheme}:// needs the extra {extra!r}: pip install 'crmetrics[{extra}]'"
            ) from None
        except CutError as exc:
            raise StoreError(str(exc), place, is_begun=True, is_late=True) from None
        except FileNotFoundError as exc:
            raise StoreError(
                f"the place does not exist yet or cannot be seen: {exc}", place
            ) from None
        except (OSError, ValueError) as exc:
            raise StoreError(" ".join(str(exc).split())[:300], place) from None
        except Exception as exc:  # noqa: BLE001 - each store's library has errors of its own
            text = " ".join(str(exc).split())[:300]
            raise StoreError(f"{type(exc).__name__}: {text}", place) from None


def _is_no_right(exc: PermissionError) -> bool:
    """Whether S3 knows who asks and does not allow it; the same error stands for a wrong key."""
    answer = getattr(exc.__cause__, "response", None) or {}
    return answer.get("Error", {}).get("Code") in ("AccessDenied", "403")


def is_remote(path: str) -> bool:
    """Whether a path is the URL of a store."""
    return "://" in path
