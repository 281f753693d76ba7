"""Segments of definitions as columns of their datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from crmetrics.catalog.segments import Segment
from crmetrics.compiler import expressions
from crmetrics.datasets import Column, Dataset
from crmetrics.errors import ConfigError, Finding, did_you_mean
from crmetrics.warehouse.placeholders import literal


def with_segments(
    datasets: Mapping[str, Dataset], segments: Iterable[Segment]
) -> Mapping[str, Dataset]:
    """The datasets with a computed column per segment."""
    found = dict(datasets)
    for segment in segments:
        dataset = found[segment.of]
        column = Column(segment.name, "string", about=segment.title, expression=_sql(segment))
        found[segment.of] = replace(dataset, columns=(*dataset.columns, column))
    return found


def _sql(segment: Segment) -> str:
    cases = " ".join(
        f"when {condition} then {literal(name)}" for name, condition in segment.groups.items()
    )
    otherwise = f" else {literal(segment.otherwise)}" if segment.otherwise else ""
    return f"case {cases}{otherwise} end"


def segment_findings(
    segments: Iterable[Segment], datasets: Mapping[str, Dataset]
) -> dict[str, list[Finding]]:
    """What is wrong with each segment, by its name, as far as that can be told from names."""
    found = {segment.name: _findings(segment, datasets) for segment in segments}
    return {name: findings for name, findings in found.items() if findings}


def _findings(segment: Segment, datasets: Mapping[str, Dataset]) -> list[Finding]:
    at, label = segment.place, f"segments.{segment.name}"
    dataset = datasets.get(segment.of)
    if dataset is None:
        hint = did_you_mean(segment.of, datasets)
        message = f"{label}.of: there is no dataset {segment.of!r}."
        return [Finding(message, at.file, at.line, at.column, hint)]
    if segment.name in dataset:
        message = f"{label}: {segment.of} has a column of this name."
        hint = "Take another name, or map the column in the source's `columns:`."
        return [Finding(message, at.file, at.line, at.column, hint)]
    found: list[Finding] = []
    for name, condition in segment.groups.items():
        place = segment.places.get(name, at)
        try:
            columns = expressions.columns(condition, place)
            expressions.check_condition(condition, lambda column: _type(dataset, column), place)
        except ConfigError as exc:
            found += exc.findings
            continue
        for column in columns:
            if column not in dataset:
                message = f"{label}.groups.{name}: {segment.of} has no column {column!r}."
                hint = did_you_mean(column, dataset.column_names)
                found.append(Finding(message, place.file, place.line, place.column, hint))
    return found


def _type(dataset: Dataset, column: str) -> str:
    return dataset.column(column).sql_type if column in dataset else ""
