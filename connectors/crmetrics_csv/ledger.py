"""What is known of the files that were loaded: kept as the state of the dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from crmetrics.plugin import Dataset, SourceError
from crmetrics_csv.files import DataFile
from crmetrics_csv.options import FileRules
from crmetrics_csv.streams import checksum_of

_LAYOUT = 1
"""Raise it when a release reads the same file differently; everything is then read again."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Size and time of last change of a file."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """One file as it was loaded.

    rows: that reached the dataset. columns: that were asked for. has_numbers: the file has no ids,
    its rows are numbered.
    """

    size: int
    mtime_ns: int
    checksum: str
    rows: int
    columns: tuple[str, ...]
    has_numbers: bool = False


def stamp_of(file: DataFile) -> Stamp:
    """The file's stamp now. Raises SourceError when the file is gone."""
    try:
        status = file.path.stat()
    except OSError as exc:
        raise SourceError(f"{file.part}: cannot be read: {exc.strerror}.") from exc
    return Stamp(status.st_size, status.st_mtime_ns)


def fingerprint(rules: FileRules, mapping: Mapping[str, str], dataset: Dataset) -> str:
    """Changes whenever the same file would give other rows."""
    facts = {
        "layout": _LAYOUT,
        "rules": dict(rules.as_state()),
        "mapping": dict(sorted(mapping.items())),
        "types": {column.name: column.type for column in dataset.columns},
        "key": dataset.key,
    }
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


class Ledger:
    """The loaded files of one dataset by part."""

    def __init__(self, state: Mapping[str, Any], fingerprint: str, *, is_full: bool) -> None:
        self._fingerprint = fingerprint
        self.before: dict[str, LoadedFile] = {
            part: LoadedFile(**{**entry, "columns": tuple(entry["columns"])})
            for part, entry in state.get("files", {}).items()
        }
        self._reads_all = is_full or state.get("fingerprint") != fingerprint
        self.now: dict[str, LoadedFile] = {}

    def vanished(self, parts: Iterable[str]) -> list[str]:
        """The parts that were loaded before and are not among these."""
        return sorted(set(self.before) - set(parts))

    def unchanged(self, file: DataFile, columns: Iterable[str]) -> LoadedFile | None:
        """The entry of a file that need not be read again, with its stamp of now.

        A file that was only touched is recognised by its checksum. A file is read again when a
        column is asked for that was not asked for when it was loaded.
        """
        loaded = self.before.get(file.part)
        if loaded is None or self._reads_all or not set(columns) <= set(loaded.columns):
            return None
        stamp = stamp_of(file)
        if stamp.size != loaded.size:
            return None
        if stamp.mtime_ns != loaded.mtime_ns:
            try:
                if checksum_of(file.path) != loaded.checksum:
                    return None
            except OSError as exc:
                raise SourceError(f"{file.part}: cannot be read: {exc.strerror}.") from exc
        return replace(loaded, mtime_ns=stamp.mtime_ns)

    def record(self, part: str, loaded: LoadedFile) -> None:
        """Note a file of this read."""
        self.now[part] = loaded

    def check_ids(self) -> None:
        """Raise SourceError when some files have ids and others have numbered rows."""
        parts: dict[bool, list[str]] = {True: [], False: []}
        for part, loaded in self.now.items():
            if loaded.rows:
                parts[loaded.has_numbers].append(part)
        if all(parts.values()):
            raise SourceError(
                f"{', '.join(parts[True][:5])}: no field 'id', which {', '.join(parts[False][:5])} "
                "has. Give all files of a dataset an id, or none."
            )

    def state(self) -> dict[str, Any]:
        """The state to keep: JSON-like."""
        return {
            "fingerprint": self._fingerprint,
            "files": {
                part: {**asdict(loaded), "columns": list(loaded.columns)}
                for part, loaded in self.now.items()
            },
        }
