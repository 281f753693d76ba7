"""What `crmetrics check` says about a file source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from crmetrics.plugin import CheckResult, ConnectorContext, CrmetricsError, Dataset, SourceError
from crmetrics_csv.fields import FilePlan, Header, plan_file
from crmetrics_csv.files import DataFile, SourceFiles
from crmetrics_csv.opening import open_records

_LISTED = 12


@dataclass(frozen=True, slots=True)
class _PlannedFile:
    file: DataFile
    header: Header
    plan: FilePlan


class SourceCheck:
    """Looks at the header of every file and reports everything at once."""

    def __init__(self, context: ConnectorContext, files: SourceFiles) -> None:
        self._context = context
        self._files = files

    def results(self) -> Iterator[CheckResult]:
        """One result per dataset, then the files that belong to none."""
        try:
            names = self._files.dataset_names()
        except SourceError as exc:
            fix = f"Correct `path:` under sources.{self._context.source}."
            yield CheckResult("folder", "error", str(exc), fix)
            return
        for name in names:
            try:
                yield self._dataset(name)
            except CrmetricsError as exc:
                fix = f"Correct the files, or `datasets: {name}:` of the source."
                yield CheckResult(name, "error", str(exc), fix)
        ignored = self._files.ignored()
        if ignored:
            near = any(":" in text for text in ignored)
            yield CheckResult(
                "other files",
                "warning" if near else "ok",
                f"belong to no dataset and are ignored: {_listed(ignored)}",
                "Rename a file, or name it under `datasets: NAME: file:`." if near else "",
            )

    def _dataset(self, name: str) -> CheckResult:
        dataset = self._files.dataset(name)
        mapping = self._files.mapping(name)
        rules = self._files.rules(name)
        problems: list[str] = []
        planned: list[_PlannedFile] = []
        for file in self._files.find(name):
            try:
                header = open_records(file, rules).header
            except SourceError as exc:
                problems.append(str(exc))
                continue
            plan, wrong = plan_file(dataset, mapping, header)
            problems += [f"{file.part}: {problem}" for problem in wrong]
            planned.append(_PlannedFile(file, header, plan))
        problems += without_ids(planned)
        if problems:
            return CheckResult(
                name,
                "error",
                "\n".join(problems),
                f"Correct the file, or the entry {rules.option_path}.",
            )
        return self._verdict(dataset, planned, rules.option_path)

    def _verdict(
        self, dataset: Dataset, planned: Sequence[_PlannedFile], option_path: str
    ) -> CheckResult:
        filled = [c for c in dataset.column_names if any(c in p.plan.columns for p in planned)]
        notes = [
            f"{_listed([p.file.part for p in planned])} fills {', '.join(filled)}",
            *_numbering(planned),
            *_unused(planned),
            *_odd_headers(planned),
        ]
        doubts = [*_partly_filled(filled, planned), *self._unreferable(dataset, planned)]
        missing = [
            column.name
            for column in dataset.columns
            if not (column.nullable or column.name in filled or column.default is not None)
            and column.name != "source"
        ]
        if missing:
            doubts.append(f"KPIs need {', '.join(missing)}, which no file fills")
        return CheckResult(
            dataset.name,
            "warning" if doubts else "ok",
            "; ".join(notes + doubts),
            f"Map the columns under {option_path}: columns." if doubts else "",
        )

    def _unreferable(self, dataset: Dataset, planned: Sequence[_PlannedFile]) -> list[str]:
        """Numbered rows cannot be what other datasets refer to."""
        if not any(p.plan.numbers_rows for p in planned):
            return []
        users = [
            other.name
            for other in self._context.datasets.values()
            if other.name != dataset.name
            and any(column.references == dataset.name for column in other.columns)
        ]
        return [f"{_listed(users)} refer to {dataset.name} by id, which no field fills"] * bool(
            users
        )


def without_ids(planned: Iterable[_PlannedFile]) -> list[str]:
    """A problem when some files of a dataset have an id and others have none."""
    numbered = [p.file.part for p in planned if p.plan.numbers_rows]
    others = [p.file.part for p in planned if not p.plan.numbers_rows]
    if not numbered or not others:
        return []
    return [f"{_listed(numbered)} has no field 'id', {_listed(others)} has one."]


def _numbering(planned: Iterable[_PlannedFile]) -> list[str]:
    example = next((p.file.stem for p in planned if p.plan.numbers_rows), None)
    return [f"without an id; rows are numbered as {example}:1, {example}:2, ..."] if example else []


def _unused(planned: Iterable[_PlannedFile]) -> list[str]:
    names = dict.fromkeys(name for p in planned for name in p.plan.unused(p.header))
    return [f"unused fields: {_listed(list(names))}"] if names else []


def _odd_headers(planned: Iterable[_PlannedFile]) -> list[str]:
    notes = []
    for p in planned:
        if p.header.duplicates:
            notes.append(f"{p.file.part} repeats the unused {_listed(p.header.duplicates)}")
        if p.header.unnamed:
            places = _listed([str(place) for place in p.header.unnamed])
            notes.append(f"{p.file.part} has no name for field {places}")
    return notes


def _partly_filled(filled: Iterable[str], planned: Sequence[_PlannedFile]) -> list[str]:
    """Columns that only some files of the dataset fill."""
    return [
        f"{column} is not in {_listed(lacking)}"
        for column in filled
        if (lacking := [p.file.part for p in planned if column not in p.plan.columns])
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
