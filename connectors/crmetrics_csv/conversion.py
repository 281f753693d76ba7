"""From the fields of a file to canonical columns, with every value that cannot be read named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from crmetrics.plugin import Column, ColumnType, Dataset, Finding, ReadRequest, SourceError
from crmetrics_csv.arrow import Array
from crmetrics_csv.dates import READS_AS, Order, OrderEvidence, OrderUnknownError, readings
from crmetrics_csv.fields import FilePlan
from crmetrics_csv.files import DataFile
from crmetrics_csv.options import FileRules
from crmetrics_csv.records import FieldBatch, Records
from crmetrics_csv.values import EXPECTED, UnfitTypeError, Unreadable, convert

MAX_FINDINGS = 10
_CLIP = 60
_LARGEST_BATCH = 100_000
_FORMATS: Mapping[Order, str] = {"dmy": "%d{0}%m{0}%{1}", "mdy": "%m{0}%d{0}%{1}",
                                 "ymd": "%{1}{0}%m{0}%d"}  # fmt: skip


def clipped(text: str, limit: int = _CLIP) -> str:
    """The text, or its beginning."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


class Conversion:
    """Turns the records of one file into batches of canonical columns.

    Values that cannot be read are collected, up to ten over the file, and raised together at its
    end; from the first of them on no batch is given.
    """

    def __init__(
        self,
        file: DataFile,
        records: Records,
        plan: FilePlan,
        rules: FileRules,
        request: ReadRequest,
        stem: str,
    ) -> None:
        self._file = file
        self._records = records
        self._plan = plan
        self._rules = rules
        self._request = request
        self._dataset: Dataset = request.dataset
        self._stem = stem
        self._orders: dict[str, Order] = {}
        self._made: pa.Schema | None = None
        self._unreadable: list[tuple[int, str, Unreadable]] = []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of the file. Raises SourceError when the file cannot be read whole."""
        landed = 0
        ragged = 0
        first_ragged = ""
        for batch in self._records.read(self._types(), self._plan.computed_fields):
            for row in batch.ragged:
                where = f"{self._file.part}:{row.line}"
                reason = f"expected {row.expected} fields as in the header, found {row.found}"
                self._request.reject(reason, where=where, record=clipped(row.text, 200))
                first_ragged = first_ragged or f"{where}: {reason}"
            ragged += len(batch.ragged)
            if batch.numbers:
                landed += len(batch.numbers)
                yield from self._converted(batch)
            if len(self._unreadable) >= MAX_FINDINGS:
                break
        if self._unreadable:
            raise SourceError(findings=self._findings())
        if ragged and not landed:
            raise SourceError(
                f"{first_ragged}; no other record fits the header either. Look at `delimiter:` "
                f"and `skip_rows:` under {self._rules.option_path}."
            )

    def _types(self) -> Mapping[int, ColumnType]:
        """Per field the type of its column; text when it fills columns of several types."""
        types: dict[int, ColumnType] = {}
        for name, position in self._plan.fields.items():
            kind = self._dataset.column(name).type
            types[position] = kind if types.get(position, kind) == kind else "string"
        return types

    # --- one batch ----------------------------------------------------------------------------

    def _converted(self, batch: FieldBatch) -> Iterator[pa.RecordBatch]:
        arrays: dict[str, Array] = {}
        if self._plan.numbers_rows:
            ids = [f"{self._stem}:{number}" for number in batch.numbers]
            arrays["id"] = pa.array(ids, pa.string())
        for name, position in self._plan.fields.items():
            column = self._dataset.column(name)
            arrays[name] = self._filled(column, position, batch)
        if self._unreadable:
            self._unreadable = sorted(self._unreadable, key=lambda item: item[:2])[:MAX_FINDINGS]
            return
        if self._plan.computed:
            arrays.update(self._computed(batch))
        whole = pa.RecordBatch.from_arrays(list(arrays.values()), schema=self._schema(arrays))
        for start in range(0, whole.num_rows, _LARGEST_BATCH):
            yield whole.slice(start, _LARGEST_BATCH)

    def _schema(self, names: Iterable[str]) -> pa.Schema:
        """The schema of the file's batches, all of which have these columns."""
        if self._made is None:
            kinds = [(name, self._dataset.column(name).arrow_type) for name in names]
            self._made = pa.schema(kinds)
        return self._made

    def _filled(self, column: Column, position: int, batch: FieldBatch) -> Array:
        array = batch.typed[position]
        try:
            try:
                result = convert(array, column, self._rules, self._orders.get(column.name))
            except OrderUnknownError:
                self._orders[column.name] = self._proven_order(column, position)
                result = convert(array, column, self._rules, self._orders[column.name])
        except UnfitTypeError as exc:
            raise SourceError(
                f"{self._file.part}: column {column.name!r} (field {self._field(position)!r}): "
                f"expected {EXPECTED[column.type]}, found {exc}. Map the column with an expression."
            ) from exc
        self._unreadable += [
            (batch.numbers[found.index], column.name, found) for found in result.unreadable
        ]
        return result.array

    def _computed(self, batch: FieldBatch) -> Mapping[str, Array]:
        """The mapped SQL expressions over the fields as the file holds them."""
        names = [self._field(position) for position in batch.raw]
        fields = pa.RecordBatch.from_arrays(list(batch.raw.values()), names=names)
        try:
            result = self._request.evaluate(fields, self._plan.computed)
        except SourceError as exc:
            raise SourceError(f"{self._file.part}: {exc}", findings=exc.findings) from exc
        return {name: result.column(name) for name in self._plan.computed}

    def _field(self, position: int) -> str:
        return self._records.header.names[position]

    # --- findings -----------------------------------------------------------------------------

    def _findings(self) -> list[Finding]:
        lines = self._records.lines([number for number, _, _ in self._unreadable])
        return [
            self._finding(lines[number], number, name, found)
            for number, name, found in self._unreadable
        ]

    def _finding(self, line: int, number: int, name: str, found: Unreadable) -> Finding:
        column = self._dataset.column(name)
        record = "" if line else f"record {number}, "
        message = (
            f"{record}{self._title(column)}: expected {EXPECTED[column.type]}, "
            f"found {clipped(found.text)!r}" + (f": {found.reason}" if found.reason else "") + "."
        )
        return Finding(message, file=self._file.part, line=line, hint=found.hint)

    def _title(self, column: Column) -> str:
        field = self._field(self._plan.fields[column.name])
        return f"column {column.name!r}" + (f" (field {field!r})" if field != column.name else "")

    # --- the order of day and month -------------------------------------------------------------

    def _proven_order(self, column: Column, position: int) -> Order:
        """The order of day, month and year that the whole field proves.

        Raises SourceError when several orders fit all values and read one of them differently, or
        when no order fits them all. A guess would be right for some days and silently wrong for
        others.
        """
        evidence = OrderEvidence()
        for texts in self._records.texts(position):
            evidence.add(text.strip() for text in texts.unique().to_pylist() if text)
        orders = evidence.open_orders
        if not orders:
            raise self._no_common_order(column, evidence)
        if evidence.ambiguous is not None:
            raise self._ambiguous(column, position, evidence.ambiguous, orders)
        return orders[0]

    def _ambiguous(
        self, column: Column, position: int, text: str, orders: Sequence[Order]
    ) -> SourceError:
        days = readings(text)
        meanings = " or ".join(f"{days[order]} ({READS_AS[order]})" for order in orders)
        formats = " or ".join(f"'{_format(text, order)}'" for order in orders)
        finding = Finding(
            f"{self._title(column)}: {clipped(text)!r} can be {meanings}, and no value of the "
            "file proves which.",
            file=self._file.part,
            line=self._line_of(position, text),
            hint=f"Set `date_format: {formats}` under {self._rules.option_path}.",
        )
        return SourceError(findings=[finding])

    def _no_common_order(self, column: Column, evidence: OrderEvidence) -> SourceError:
        against = "; ".join(
            f"{text!r} is not written {READS_AS[order]}"
            for order, text in evidence.refuted.items()
            if order != "ymd"
        )
        finding = Finding(
            f"{self._title(column)}: the dates do not share one order of day and month: {against}.",
            file=self._file.part,
            hint="Correct the file, or map the column with an expression that tells them apart.",
        )
        return SourceError(findings=[finding])

    def _line_of(self, position: int, text: str) -> int:
        """The line of the first record that holds this text in the field; 0 if it has none."""
        for batch in self._records.read({position: "string"}, ()):
            for number, value in zip(batch.numbers, batch.typed[position].to_pylist(), strict=True):
                if value is not None and value.strip() == text:
                    return self._records.lines([number])[number]
        return 0


def _format(text: str, order: Order) -> str:
    """The strptime format of a numeric date in this order."""
    mark = next(character for character in text if not character.isdigit())
    first, _, last = text.split(mark)[:3]
    year = first if order == "ymd" else last[:4]
    return _FORMATS[order].format(mark, "Y" if year.isdigit() and len(year) == 4 else "y")
