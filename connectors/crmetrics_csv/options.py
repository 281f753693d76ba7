"""What a file source says in the project file, and the rules one dataset's files are read by."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from crmetrics.plugin import ConfigError, ConnectorContext, DatasetOptions, Options, SourceOptions

FileFormat = Literal["csv", "tsv", "parquet", "ndjson", "json"]
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
EXTENSIONS: Mapping[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
}

_DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


class FileOptions(Options):
    """How files are written; at the source for all its files, at a dataset for its own."""

    format: FileFormat | None = Field(default=None, description="default: by the file's extension")
    delimiter: str | None = Field(
        default=None, description="field separator; default: found among , ; tab |"
    )
    quote: str | None = Field(
        default=None, description="quote character, default \"; '' when fields are never quoted"
    )
    escape: str | None = Field(
        default=None, description="escape character before a quote or delimiter; default none"
    )
    encoding: str | None = Field(
        default=None, description="default: by the byte order mark, else UTF-8"
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="decimal mark of numbers; default the point"
    )
    thousands: Literal[",", ".", " ", "'", "_"] | None = Field(
        default=None, description="thousands separator of numbers; default none"
    )
    null_values: tuple[str, ...] | None = Field(
        default=None,
        description="further texts that mean 'no value', in every column. Without it only the "
        "empty text is null in text columns (so that NA stays Namibia); columns of other types "
        "also take NULL, NaN, N/A and #N/A as null",
    )
    date_format: str | None = Field(
        default=None, description="strptime format of dates, such as %d/%m/%Y"
    )
    timestamp_format: str | None = Field(
        default=None, description="strptime format of timestamps, such as %d/%m/%Y %H:%M"
    )
    timezone: str | None = Field(
        default=None, description="zone of timestamps without one; default: the reporting zone"
    )
    records: str | None = Field(
        default=None, description="JSON: path of the key that holds the records, such as data.items"
    )
    skip_rows: int | None = Field(
        default=None, ge=0, description="lines above the header that are no data"
    )

    @field_validator("delimiter", mode="before")
    @classmethod
    def _named_delimiter(cls, value: Any) -> Any:
        return _DELIMITER_NAMES.get(value, value) if isinstance(value, str) else value

    @field_validator("delimiter", "escape")
    @classmethod
    def _one_ascii_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n"):
            raise ValueError("expected one ASCII character, or tab, comma, semicolon, pipe")
        return value

    @field_validator("quote")
    @classmethod
    def _one_or_no_character(cls, value: str | None) -> str | None:
        if value and (len(value) != 1 or not value.isascii() or value in "\r\n"):
            raise ValueError("expected one ASCII character, or '' for files without quoting")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                codecs.lookup(value)
            except LookupError:
                raise ValueError(
                    f"unknown encoding {value!r}; expected utf-8, utf-16, latin-1, cp1252 or "
                    "another codec that Python knows"
                ) from None
        return value

    @field_validator("null_values", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        # YAML reads `null_values: [-1, 0]` as numbers; in the file they are texts.
        if isinstance(value, (list, tuple)):
            return tuple(
                str(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else item
                for item in value
            )
        return value

    @field_validator("date_format", "timestamp_format")
    @classmethod
    def _has_directives(cls, value: str | None) -> str | None:
        if value is not None and "%" not in value:
            raise ValueError(f"{value!r} is no strptime format; expected one such as '%d/%m/%Y'")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError(f"{value!r} is no IANA time zone such as Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _marks_differ(self) -> FileOptions:
        if self.decimal is not None and self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands cannot both be {self.decimal!r}")
        if self.quote and self.quote == self.delimiter:
            raise ValueError(f"delimiter and quote cannot both be {self.quote!r}")
        return self


class CsvDatasetOptions(DatasetOptions, FileOptions):
    """The files of one dataset; `file` is a path, a glob or a list of them."""

    file: str | tuple[str, ...] | None = Field(
        default=None,
        description="path, glob or list, relative to `path`; default: the file named after the "
        "dataset",
    )
    query: str | None = Field(
        default=None,
        description="SELECT over `records`, the records of a file (fields as text; Parquet: with "
        "their types). What it gives is mapped instead of them: one row per order of a file of "
        "order lines, one per answer of a survey",
    )

    @property
    def patterns(self) -> tuple[str, ...]:
        """The globs of `file`; empty when the dataset is found by its name."""
        if self.file is None:
            return ()
        return (self.file,) if isinstance(self.file, str) else self.file


class CsvOptions(SourceOptions, FileOptions):
    """A folder with one file per dataset, or the files named under `datasets:`."""

    path: str = Field(default=".", description="folder of the files, relative to the project")
    datasets: dict[str, CsvDatasetOptions] = Field(default_factory=dict)  # type: ignore[assignment]

    @property
    def searches_folder(self) -> bool:
        """True when files are found by dataset name: a folder is given, or nothing else is.

        A source that only lists `datasets:` must not pick up what else lies in the project folder.
        """
        return "path" in self.model_fields_set or not self.datasets

    def local_data(self, datasets: Iterable[str]) -> Iterable[str]:
        named = [one for one, options in self.datasets.items() if not options.patterns]
        if self.searches_folder:
            named += [one for one in datasets if one not in self.datasets]
        for name in named:
            yield from (f"{self.path}/{name}{extension}" for extension in EXTENSIONS)
        for options in self.datasets.values():
            for pattern in options.patterns:
                yield Path(self.path, Path(pattern).expanduser()).as_posix()


@dataclass(frozen=True, slots=True)
class FileRules:
    """How the files of one dataset are read: its own options, else the source's, else defaults.

    zone: of timestamps without one. reporting_zone: whose days a zoned instant falls into when it
    stands in a date column. option_path: where the user sets an option, for messages.
    """

    zone: str = "UTC"
    reporting_zone: str = "UTC"
    option_path: str = ""
    format: FileFormat | None = None
    delimiter: str | None = None
    quote: str = '"'
    escape: str | None = None
    encoding: str | None = None
    decimal: str = "."
    thousands: str | None = None
    null_values: tuple[str, ...] = ()
    date_format: str | None = None
    timestamp_format: str | None = None
    records: str | None = None
    skip_rows: int = 0
    query: str | None = None

    def as_state(self) -> Mapping[str, Any]:
        """The rules as JSON-like values: files are read again when one of them changes."""
        return {name: value for name, value in asdict(self).items() if name != "option_path"}


def rules_for(dataset: str, config: CsvOptions, context: ConnectorContext) -> FileRules:
    """The rules of the dataset's files."""
    own = config.datasets.get(dataset)

    def option(name: str, default: Any = None) -> Any:
        for options in (own, config):
            if options is not None and getattr(options, name) is not None:
                return getattr(options, name)
        return default

    thousands = option("thousands")
    # 1.234,56: whoever names the point as the thousands separator means the comma.
    decimal = option("decimal", "," if thousands == "." else ".")
    place = f"sources.{context.source}" + (f".datasets.{dataset}" if own is not None else "")
    if decimal == thousands:
        raise ConfigError(f"{place}: decimal and thousands cannot both be {decimal!r}.")
    return FileRules(
        zone=option("timezone", context.timezone),
        reporting_zone=context.timezone,
        option_path=place,
        format=option("format"),
        delimiter=option("delimiter"),
        quote=option("quote", '"'),
        escape=option("escape"),
        encoding=option("encoding"),
        decimal=decimal,
        thousands=thousands,
        null_values=option("null_values", ()),
        date_format=option("date_format"),
        timestamp_format=option("timestamp_format"),
        records=option("records"),
        skip_rows=option("skip_rows", 0),
        query=own.query if own is not None else None,
    )
