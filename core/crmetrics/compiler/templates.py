"""Models that are written once and repeated for the datasets that a setting names.

Which datasets a check reads, and what it asks of them, is for the project to say: a setting such as
`required_fields: {opportunities: [amount, close_date]}` maps datasets to columns or conditions. A
model that begins with `-- for each SETTING` is repeated for every dataset of that setting, and, if
it says `{item}`, for every column or condition; the parts are joined by `union all by name`.

    {dataset}   name of the dataset: `live_{dataset}`
    {created}   its column of creation; null::timestamptz where it has none
    {items}     its columns or conditions as texts, comma-separated
    {item}      one of them

Between quotes, as in '{item}', each is a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crmetrics.catalog import Model
from crmetrics.compiler import expressions
from crmetrics.datasets import Dataset
from crmetrics.errors import ConfigError, Finding, did_you_mean
from crmetrics.warehouse.placeholders import identifier, literal

_PLACE = re.compile(r"'\{(?P<text>dataset|item)\}'|\{(?P<sql>dataset|created|items|item)\}")

Choice = Mapping[str, Sequence[str]]
"""Dataset -> columns, or SQL conditions over its columns."""


def expanded(model: Model, choice: Any, datasets: Mapping[str, Dataset]) -> str:
    """The text of the model for what its setting names; its columns without rows when it is unset.

    Raises ConfigError for what does not exist, as `columns_of` does.
    """
    chosen: Choice = choice or {}
    columns_of(model.for_each, chosen, datasets)
    parts = [
        _filled(model.text, datasets[name], items, item)
        for name, items in chosen.items()
        for item in (items if "{item}" in model.text else [""])
    ]
    if parts:
        return "\nunion all by name\n".join(parts)
    some = next(iter(datasets.values()))
    return f"select * from (\n{_filled(model.text, some, ['null'], 'null')}\n) where false"


def columns_of(
    setting: str, choice: Any, datasets: Mapping[str, Dataset]
) -> Mapping[str, tuple[str, ...]]:
    """Dataset -> the columns that must be there, its column of creation included.

    Raises ConfigError with all findings: unknown datasets and columns, texts that are no single
    SQL expression.
    """
    findings: list[Finding] = []
    found: dict[str, tuple[str, ...]] = {}
    for name, items in (choice or {}).items():
        dataset = datasets.get(name)
        if dataset is None:
            message = f"metrics.settings: {setting}: there is no dataset {name!r}."
            findings.append(Finding(message, hint=did_you_mean(name, datasets)))
            continue
        read = dict.fromkeys(_columns(setting, dataset, items, findings))
        found[name] = tuple(read | dict.fromkeys([dataset.created] if dataset.created else []))
    if findings:
        raise ConfigError(findings=findings)
    return found


def _columns(
    setting: str, dataset: Dataset, items: Sequence[str], findings: list[Finding]
) -> Iterator[str]:
    for item in items:
        where = f"metrics.settings: {setting}.{dataset.name}"
        try:
            names = expressions.columns(item)
        except ConfigError as exc:
            findings += [Finding(f"{where}: {found.message}") for found in exc.findings]
            continue
        for column in sorted(names):
            if column in dataset:
                yield column
            else:
                hint = did_you_mean(column, dataset.column_names)
                findings.append(Finding(f"{where}: there is no column {column!r}.", hint=hint))


def _filled(text: str, dataset: Dataset, items: Sequence[str], item: str) -> str:
    created = identifier(dataset.created) if dataset.created else "null::timestamptz"
    values = {
        "dataset": identifier(dataset.name),
        "created": created,
        "items": ", ".join(f"({_sql(each)})::varchar" for each in items),
        "item": _sql(item) if item else "",
    }
    texts = {"dataset": dataset.name, "item": item}

    def fill(match: re.Match[str]) -> str:
        return literal(texts[match["text"]]) if match["text"] else values[match["sql"]]

    return _PLACE.sub(fill, text)


def _sql(item: str) -> str:
    """The expression as parsed, so that a comment in it cannot swallow what follows."""
    return expressions.text(item)
