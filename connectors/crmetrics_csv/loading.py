"""One file from header to last row."""

from __future__ import annotations

from collections.abc import Generator

import pyarrow as pa

from crmetrics.plugin import Dataset, Finding, ReadRequest, SourceError
from crmetrics_csv.conversion import Conversion
from crmetrics_csv.fields import FilePlan, Header, plan_file
from crmetrics_csv.files import DataFile
from crmetrics_csv.ledger import LoadedFile, Stamp, stamp_of
from crmetrics_csv.opening import open_records
from crmetrics_csv.options import FileRules
from crmetrics_csv.streams import checksum_of


def load_file(
    file: DataFile, stem: str, rules: FileRules, request: ReadRequest
) -> Generator[pa.RecordBatch, None, LoadedFile]:
    """The rows of one file, which replace what the file gave before; returns what to remember.

    stem: begins the ids of a file without ids.
    Raises SourceError when the file cannot be read whole, or changes while it is read.
    """
    before = stamp_of(file)
    rows = 0
    has_numbers = False
    try:
        records = open_records(file, rules)
        request.begin_part(file.part)
        # A JSON file without records has no fields either.
        if records.header.names:
            plan = _checked_plan(file, request, records.header)
            has_numbers = plan.numbers_rows
            for batch in Conversion(file, records, plan, rules, request, stem).batches():
                rows += batch.num_rows
                yield batch
    except SourceError as exc:
        _check_unchanged(file, before, exc)
        raise
    _check_unchanged(file, before)
    if not rows:
        request.notice(f"{file.part} has a header and no records.")
    checksum = records.checksum or checksum_of(file.path)
    return LoadedFile(
        before.size, before.mtime_ns, checksum, rows, tuple(request.columns), has_numbers
    )


def _checked_plan(file: DataFile, request: ReadRequest, header: Header) -> FilePlan:
    dataset: Dataset = request.dataset
    plan, problems = plan_file(dataset, request.mapping, header)
    if problems:
        raise SourceError(findings=[Finding(problem, file=file.part) for problem in problems])
    return plan.only(request.columns)


def _check_unchanged(file: DataFile, before: Stamp, cause: Exception | None = None) -> None:
    """Raise SourceError when the file was written to since: rows of two versions may be mixed."""
    if stamp_of(file) != before:
        raise SourceError(
            f"{file.part}: the file changed while it was read. Run again when it is complete; "
            "write exports under another name and rename them when done."
        ) from cause
