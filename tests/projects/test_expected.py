"""Every figure of a project's `expected.json`, to the last digit.

The figures are owned copies of those published with the data sets, each computed there twice, in
SQL and in pandas; a test holds the copies against the originals. None comes from the code under
test.

    figures, tables    what is published (`figure`, in a table also `column` and `label`) and what
                       to ask for it: `kpi`, `period` or `start`, `end` and `grain`, `by`, `segment`
    times, plus        from the published unit to ours
    pooled             several periods taken together: sum of values, mean by n, ratio of the sums,
                       sum of the denominators
    environment        variables of the project file
    loaded, orphans    what the load says
    statuses           KPIs that the data set cannot support, with the status that says so
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from projects.opening import DATA, PROJECTS, Opener

pytestmark = pytest.mark.shared

EXPECTED: Mapping[str, dict[str, Any]] = {
    name: json.loads((PROJECTS / name / "expected.json").read_text("utf-8"))
    for name in sorted(DATA)
    if (PROJECTS / name / "expected.json").is_file()
}
ASKED = ("period", "start", "end", "grain", "by", "where")


def lines(kind: str) -> list[Any]:
    found = []
    for name, expected in EXPECTED.items():
        for line in expected[kind]:
            title = f"{name}: {line['kpi']} = {line['figure']} {line.get('column', '')}"
            found.append(pytest.param(name, line, id=title.strip()))
    return found


def in_our_unit(line: Mapping[str, Any], value: float) -> float:
    return float(value) * line.get("times", 1) + line.get("plus", 0)


def pooled(how: str, rows: list[dict[str, Any]]) -> float | None:
    rows = [row for row in rows if row["value"] is not None]
    if how == "sum":
        return float(sum(row["value"] for row in rows))
    if how == "mean":
        return float(sum(row["value"] * row["n"] for row in rows) / sum(row["n"] for row in rows))
    if how == "denominators":
        return float(sum(row["denominator"] for row in rows))
    if how == "ratio":
        return float(sum(r["numerator"] for r in rows) / sum(r["denominator"] for r in rows))
    (row,) = rows or [{"value": None}]
    return None if row["value"] is None else float(row["value"])


def answered(open_project: Opener, name: str, line: Mapping[str, Any]) -> list[dict[str, Any]]:
    environment = {**EXPECTED[name]["environment"], **line.get("environment", {})}
    asked = {key: line[key] for key in ASKED if key in line}
    return open_project(name, environment).ask(line["kpi"], **asked)


@pytest.mark.parametrize(("name", "line"), lines("figures"))
def test_a_published_figure(name: str, line: dict[str, Any], open_project: Opener) -> None:
    rows = answered(open_project, name, line)
    if "segment" in line:
        rows = [row for row in rows if list(row["segment"].values()) == [line["segment"]]]
    found = pooled(line.get("pooled", ""), rows)
    assert found == pytest.approx(in_our_unit(line, line["value"]), rel=1e-12)


@pytest.mark.parametrize(("name", "line"), lines("tables"))
def test_a_published_table(name: str, line: dict[str, Any], open_project: Opener) -> None:
    calendar = open_project(name, EXPECTED[name]["environment"]).project.calendar
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in answered(open_project, name, line):
        if "by" in line:
            (label,) = row["segment"].values()
        elif "period_format" in line:
            label = f"{row['period_start']:{line['period_format']}}".lower()
        else:
            label = calendar.label(calendar.period_of(row["period_start"], line["grain"]))
        groups.setdefault(label, []).append(row)
    found = {label: pooled(line.get("pooled", ""), rows) for label, rows in groups.items()}
    if line.get("partial"):
        found = {label: value for label, value in found.items() if label in line["rows"]}
    assert found == {
        label: None if value is None else pytest.approx(in_our_unit(line, value), rel=1e-12)
        for label, value in line["rows"].items()
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_every_record_is_accounted_for(name: str, open_project: Opener) -> None:
    expected = EXPECTED[name]
    report = open_project(name, expected["environment"]).report
    found: dict[str, dict[str, int]] = {}
    for loaded in report.reports:
        counts = found.setdefault(loaded.dataset, {})
        for key in ("fetched", "landed", "rejected", "duplicates"):
            counts[key] = counts.get(key, 0) + getattr(loaded, key)
    for counts in found.values():
        assert counts["fetched"] == counts["landed"] + counts["rejected"] + counts["duplicates"]
    assert found == expected["loaded"]
    orphans = {f"{o.dataset}.{o.key}": o.rows for o in report.orphans}
    assert orphans == expected["orphans"]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_kpi_without_its_data_says_so(name: str, open_project: Opener) -> None:
    statuses = EXPECTED[name]["statuses"]
    project = open_project(name, EXPECTED[name]["environment"])
    rows = project.ask(*statuses, period="2011-06")
    assert {row["name"]: row["status"] for row in rows} == statuses
    assert {row["value"] for row in rows} == {None}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_owned_figures_are_the_published_ones(
    name: str, published: Callable[[str], dict[str, Any]]
) -> None:
    expected = EXPECTED[name]
    figures = published(expected["data"])
    for line in expected["figures"]:
        assert line["value"] == figures[line["figure"]]
    for line in expected["tables"]:
        rows = figures[line["figure"]]
        names = [
            "(none)" if row[line["label"]] is None else str(row[line["label"]]) for row in rows
        ]
        assert line["rows"] == dict(zip(names, [row[line["column"]] for row in rows], strict=True))
