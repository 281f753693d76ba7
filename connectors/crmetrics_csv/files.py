"""Which files belong to which dataset: by the dataset's name in a folder, by path or by glob."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath

from crmetrics.plugin import ConfigError, ConnectorContext, Dataset, SourceError, did_you_mean
from crmetrics_csv.options import EXTENSIONS, FORMATS, CsvOptions, FileFormat, FileRules, rules_for

_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file to read. part: its path relative to the project, the name of the rows it gives."""

    path: Path
    part: str
    format: FileFormat
    compression: str | None = None

    @property
    def stem(self) -> str:
        """The file's name without its known extensions."""
        return split_name(self.path.name)[0]


def _split_suffix(name: str) -> tuple[str, str]:
    suffix = PurePath(name).suffix
    return name.removesuffix(suffix), suffix


@lru_cache(4096)
def split_name(name: str) -> tuple[str, FileFormat | None, str | None]:
    """(stem, format, compression) of a file name: `a.csv.gz` -> (`a`, `csv`, `gzip`)."""
    stem, extension = _split_suffix(name)
    compression = _COMPRESSIONS.get(extension.lower())
    if compression is not None:
        stem, extension = _split_suffix(stem)
    known = EXTENSIONS.get(extension.lower())
    return (stem if known else stem + extension), known, compression


class SourceFiles:
    """The files of one source."""

    def __init__(self, config: CsvOptions, context: ConnectorContext) -> None:
        self._config = config
        self._context = context
        self._project = context.project_dir
        self.folder = self._absolute(config.path, self._project)

    def _absolute(self, path: str, base: Path) -> Path:
        # `~` is the user's; symbolic links and paths outside the project are the user's choice.
        return base / Path(path).expanduser()

    def part(self, path: Path) -> str:
        """The path relative to the project, with forward slashes."""
        try:
            relative = os.path.relpath(path, self._project)
        except ValueError:  # another drive
            relative = str(path)
        return Path(relative).as_posix()

    # --- what the project file says -------------------------------------------------------------

    def dataset(self, name: str) -> Dataset:
        """The canonical dataset of that name. Raises ConfigError when there is none."""
        known = self._context.datasets
        if name not in known:
            raise ConfigError(
                f"sources.{self._context.source}.datasets: there is no dataset {name!r}. "
                f"{did_you_mean(name, known)}".rstrip()
            )
        return known[name]

    def rules(self, dataset: str) -> FileRules:
        """How the files of the dataset are read."""
        return rules_for(dataset, self._config, self._context)

    def mapping(self, dataset: str) -> Mapping[str, str]:
        """The dataset's `columns:`."""
        options = self._config.datasets.get(dataset)
        return options.columns if options is not None else {}

    # --- which datasets -----------------------------------------------------------------------

    def dataset_names(self) -> list[str]:
        """The datasets that the source gives: those configured and those with a file of their name.

        Raises SourceError when the folder is missing or holds no dataset at all.
        """
        names = list(self._config.datasets)
        if self._config.searches_folder:
            present = {split_name(path.name)[0].lower() for path in self._folder_files()}
            names += [
                name
                for name in self._context.datasets
                if name not in names and name.lower() in present
            ]
        if not names:
            raise SourceError(self._nothing_found())
        return names

    def _nothing_found(self) -> str:
        found = sorted(path.name for path in self._listing())
        listed = f"it holds {', '.join(found[:8])}" if found else "it is empty"
        hints = [hint for name in found if (hint := self._near_dataset(name))]
        return (
            f"{self._context.source}: folder {self.part(self.folder)} has no file named after a "
            f"dataset (expected accounts.csv, opportunities.parquet or the like); {listed}. "
            + (hints[0] if hints else "Rename a file or name it under `datasets: NAME: file:`.")
        )

    def _near_dataset(self, name: str) -> str:
        hint = did_you_mean(split_name(name)[0], self._context.datasets, limit=1)
        return f"{name} is ignored: {hint}" if hint else ""

    def ignored(self) -> list[str]:
        """Files of the folder that belong to no dataset, as `name` or `name: did you mean ...`."""
        if not self._config.searches_folder or not self.folder.is_dir():
            return []
        used: set[Path] = set()
        for dataset in self.dataset_names():
            try:
                used.update(file.path for file in self.find(dataset))
            except SourceError:
                # The dataset's own check reports it; its candidates are no strangers either.
                used.update(self._named(dataset))
        return [
            self._near_dataset(path.name) or path.name
            for path in self._listing()
            if path not in used and _holds_data(path.name)
        ]

    # --- which files --------------------------------------------------------------------------

    def find(self, dataset: str) -> list[DataFile]:
        """The files of the dataset, sorted by part; never empty.

        Raises SourceError when a pattern matches nothing, when several files bear the dataset's
        name, or when a file's format is unknown.
        """
        options = self._config.datasets.get(dataset)
        patterns = options.patterns if options is not None else ()
        rules = self.rules(dataset)
        if patterns:
            paths = {path for pattern in patterns for path in self._match(dataset, pattern)}
        else:
            paths = {self._single(dataset)}
        files = [self._data_file(path, rules) for path in paths]
        return sorted(files, key=lambda file: file.part)

    def _match(self, dataset: str, pattern: str) -> Iterable[Path]:
        path = self._absolute(pattern, self.folder)
        if path.is_file():  # a name may hold [brackets] and still be a name
            return [path]
        if path.is_dir():
            raise SourceError(
                f"{dataset}: {self.part(path)} is a folder; expected a file or a glob such as "
                f"{pattern.rstrip('/')}/*.csv."
            )
        # Path.glob takes no absolute pattern.
        matches = [Path(found) for found in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        matches = [found for found in matches if found.is_file() and not _is_hidden(found.name)]
        if not matches:
            raise SourceError(f"{dataset}: no file matches {pattern!r}: {self._absence(path)}")
        return matches

    def _absence(self, path: Path) -> str:
        """Why nothing is at `path`: the folder is missing, or what it holds instead."""
        folder = path.parent
        while glob.has_magic(folder.name):
            folder = folder.parent
        if not folder.is_dir():
            return self._missing_folder(folder)
        names = sorted(found.name for found in folder.iterdir() if not _is_hidden(found.name))
        near = did_you_mean(path.name, names)
        held = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        return f"folder {self.part(folder)} holds {held or 'no files'}. {near}".rstrip()

    def _missing_folder(self, folder: Path) -> str:
        parent = folder.parent
        names = [found.name for found in parent.iterdir()] if parent.is_dir() else []
        hint = did_you_mean(folder.name, names)
        return f"folder {self.part(folder)} does not exist. {hint}".rstrip()

    def _single(self, dataset: str) -> Path:
        paths = self._named(dataset)
        if not paths:
            raise SourceError(
                f"{dataset}: no file {dataset}.csv (or .tsv, .parquet, .ndjson, .json, .csv.gz): "
                f"{self._absence(self.folder / f'{dataset}.csv')}"
            )
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise SourceError(
                f"{dataset}: several files bear its name in {self.part(self.folder)}: {names}. "
                f"Keep one, or list them under `datasets: {dataset}: file:`."
            )
        return paths[0]

    def _named(self, dataset: str) -> list[Path]:
        """Files named after the dataset; other case counts only when no name fits exactly."""
        stems = [(split_name(path.name)[0], path) for path in self._folder_files()]
        exact = [path for stem, path in stems if stem == dataset]
        return exact or [path for stem, path in stems if stem.lower() == dataset.lower()]

    def _data_file(self, path: Path, rules: FileRules) -> DataFile:
        _, known, compression = split_name(path.name)
        form = rules.format or known
        part = self.part(path)
        if form is None and path.suffix.lower() in _WORKBOOKS:
            raise SourceError(f"{part}: a workbook; export the sheet as CSV or Parquet.")
        if form is None:
            raise SourceError(
                f"{part}: the extension tells no format; set `format:` under {rules.option_path} "
                f"to one of {', '.join(FORMATS)}."
            )
        needs_delimiter = path.name.lower().split(".")[-1] == "txt" or ".txt." in path.name.lower()
        if needs_delimiter and rules.format is None and rules.delimiter is None:
            raise SourceError(
                f"{part}: a text file; set `delimiter:` under {rules.option_path}, "
                "such as `delimiter: tab`."
            )
        if form == "parquet" and compression is not None:
            raise SourceError(
                f"{part}: a compressed Parquet file; expected Parquet as it is (it compresses its "
                "columns itself). Unpack it."
            )
        return DataFile(path, part, form, compression)

    # --- the folder ---------------------------------------------------------------------------

    def _listing(self) -> Iterator[Path]:
        """Everything in the folder that is a file, in name order."""
        if not self.folder.is_dir():
            raise SourceError(
                f"{self._context.source}: {self._missing_folder(self.folder)} "
                f"Set `path:` under sources.{self._context.source}."
            )
        try:
            found = sorted(self.folder.iterdir())
        except OSError as exc:
            raise SourceError(
                f"{self._context.source}: cannot list folder {self.part(self.folder)}: "
                f"{exc.strerror}."
            ) from exc
        return (path for path in found if path.is_file() and not _is_hidden(path.name))

    def _folder_files(self) -> Iterator[Path]:
        return (path for path in self._listing() if split_name(path.name)[1] is not None)


def _holds_data(name: str) -> bool:
    """True for files that a user may think are read."""
    return split_name(name)[1] is not None or PurePath(name).suffix.lower() in _WORKBOOKS


def _is_hidden(name: str) -> bool:
    """Hidden files and the lock files of office programs."""
    return name.startswith((".", "~$"))
