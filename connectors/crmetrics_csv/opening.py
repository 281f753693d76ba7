"""The records of a file, whatever its format; the reader of each is imported where it is needed."""

from __future__ import annotations

from crmetrics.plugin import SourceError
from crmetrics_csv.files import DataFile
from crmetrics_csv.options import FileRules
from crmetrics_csv.records import Records


def open_records(file: DataFile, rules: FileRules, *, is_quick: bool = False) -> Records:
    """The records of a file; reads its header. Raises SourceError when that fails.

    is_quick: the first records are enough to know the fields of a JSON file, which has no header.
    """
    records = _opened(file, rules, is_quick and rules.query is None)
    if rules.query is None:
        return records
    from crmetrics_csv.querying import QueriedRecords

    return QueriedRecords(records, rules.query, file, rules)


def _opened(file: DataFile, rules: FileRules, is_quick: bool) -> Records:
    try:
        is_empty = file.path.stat().st_size == 0
    except OSError as exc:
        raise SourceError(f"{file.part}: cannot be read: {exc.strerror}.") from exc
    if is_empty:
        raise SourceError(f"{file.part}: the file is empty (0 bytes); expected records.")
    if file.format == "parquet":
        from crmetrics_csv.parquet import ParquetRecords

        return ParquetRecords(file, rules)
    if file.format in ("json", "ndjson"):
        from crmetrics_csv.documents import JsonRecords

        return JsonRecords(file, rules, is_quick=is_quick)
    from crmetrics_csv.delimited import DelimitedRecords

    return DelimitedRecords(file, rules)
