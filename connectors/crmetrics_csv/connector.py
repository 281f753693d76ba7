"""The connector `csv`: files in a folder as datasets, loaded file by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from crmetrics.plugin import (
    CheckResult,
    Connector,
    ConnectorContext,
    ReadRequest,
    SourceError,
    SourceOptions,
    Supply,
)
from crmetrics_csv.fields import Header, plan_file
from crmetrics_csv.files import DataFile, SourceFiles
from crmetrics_csv.ledger import Ledger, LoadedFile, Stamp, fingerprint, stamp_of
from crmetrics_csv.options import CsvOptions, FileRules

if TYPE_CHECKING:
    import pyarrow as pa


class CsvConnector(Connector):
    """CSV, TSV, Parquet, NDJSON and JSON files of a folder.

    A file replaces its own rows when it changes and is left alone while it does not. A file without
    an id gets one per row: the file's stem and the row's number.
    """

    name: ClassVar[str] = "csv"
    is_local: ClassVar[bool] = True
    Config: ClassVar[type[SourceOptions]] = CsvOptions

    config: CsvOptions

    def __init__(self, config: CsvOptions, context: ConnectorContext) -> None:
        super().__init__(config, context)
        self.files = SourceFiles(config, context)
        self._headers: dict[tuple[DataFile, FileRules, Stamp], Header] = {}

    # --- what there is ------------------------------------------------------------------------

    def datasets(self) -> Sequence[Supply]:
        """The datasets with the columns that their headers and mappings fill.

        A dataset whose files cannot be looked at claims every column, so that it is asked for and
        `read` says what is wrong; it must not pass for a dataset that the source does not have.
        Raises SourceError when the folder is missing or holds no dataset at all.
        """
        return [self._supply(name) for name in self.files.dataset_names()]

    def _supply(self, name: str) -> Supply:
        dataset = self.files.dataset(name)
        mapping = self.files.mapping(name)
        filled = set(mapping)
        try:
            for file in self.files.find(name):
                header = self._header(file, self.files.rules(name))
                plan, problems = plan_file(dataset, mapping, header)
                filled.update(dataset.column_names if problems else plan.columns)
        except SourceError:
            filled.update(dataset.column_names)
        columns = tuple(c for c in dataset.column_names if c in filled and c != "source")
        # Not incremental in the engine's sense: what changed is told by file, not by `since`.
        return Supply(name, columns, deletes=True, selects_columns=True)

    def _header(self, file: DataFile, rules: FileRules) -> Header:
        """The field names of a file, remembered until it changes. Raises SourceError."""
        from crmetrics_csv.opening import open_records

        key = (file, rules, stamp_of(file))
        if key not in self._headers:
            self._headers[key] = open_records(file, rules, is_quick=True).header
        return self._headers[key]

    def check(self) -> Iterable[CheckResult]:
        """One line per dataset, and one for the files that belong to none."""
        from crmetrics_csv.checking import SourceCheck

        return SourceCheck(self.context, self.files).results()

    # --- reading ------------------------------------------------------------------------------

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """The rows of the files that are new or changed, file by file.

        Files are told apart by size and time of change, not by `request.since`.
        """
        from crmetrics_csv.loading import load_file

        dataset = request.dataset
        rules = self.files.rules(dataset.name)
        files = self.files.find(dataset.name)
        ledger = Ledger(
            request.state, fingerprint(rules, request.mapping, dataset), is_full=request.is_full
        )
        for part in ledger.vanished(file.part for file in files):
            request.drop_part(part)
            request.notice(
                f"{part} is gone or no longer named: its {ledger.before[part].rows} rows leave "
                f"{dataset.name}."
            )
        stems = Counter(file.stem for file in files)
        for file in files:
            loaded = ledger.unchanged(file, request.columns)
            if loaded is None:
                # Files of one name in several folders must not give the same ids.
                stem = file.stem if stems[file.stem] == 1 else file.part
                loaded = yield from load_file(file, stem, rules, request)
                self._note_shrinking(ledger.before.get(file.part), loaded, file.part, request)
            ledger.record(file.part, loaded)
        ledger.check_ids()
        request.save_state(ledger.state())

    def _note_shrinking(
        self, before: LoadedFile | None, now: LoadedFile, part: str, request: ReadRequest
    ) -> None:
        if before is not None and now.rows < before.rows:
            request.notice(
                f"{part} has shrunk from {before.rows} to {now.rows} rows; the rows that are no "
                f"longer in it leave {request.dataset.name}."
            )
