"""The packs, their examples and the pages against the written KPI catalogue beside the checkout.

The catalogue is the contract; what the repository owns of it (examples, origins of columns, what
the source articles ask for) are copies, held against it here wherever it is at hand.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from crmetrics.catalog import Catalog, load_catalog
from crmetrics.datasets import canonical_datasets
from crmetrics.loader import load_plugins
from crmetrics.testing.examples import read_example, read_tables

REPO = Path(__file__).resolve().parent.parent
PAGE = (REPO / "docs" / "kpis.md").read_text("utf-8")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


@cache
def packs() -> Mapping[str, Path]:
    return {name: pack.path for name, pack in load_plugins(REPO, ()).packs.items()}


@cache
def catalog() -> Catalog:
    return load_catalog(load_plugins(REPO, ()).packs.values())


@pytest.fixture(scope="module")
def catalogue(shared_data: Path) -> str:
    return (shared_data.parent / "kpis.md").read_text("utf-8")


@pytest.fixture(scope="module")
def entries(catalogue: str) -> dict[str, str]:
    """KPI -> its entry of part 2."""
    part = catalogue.partition("# 2. Catalogue")[2].partition("# 3. Cross-cutting")[0]
    pieces = re.split(r"^### `(\w+)` - ", part, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


# --- the generated page -----------------------------------------------------------------------


def test_the_page_has_every_kpi_with_all_that_an_analyst_asks() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL))
    assert len(catalog().kpis) == 81
    for name, kpi in catalog().kpis.items():
        section = sections[name]
        for wanted in ("- Unit: ", "better: ", "- Guardrails: ", "- Common mistakes: "):
            assert wanted in section or (wanted.startswith("- Guard") and not kpi.guardrails), name
        assert "| Salesforce | HubSpot |" in section or "\nReads: " in section, name
        assert "- Value: `" in section or "- Numerator: `" in section, name
        for variant in filter(None, kpi.variants):
            assert f"| `{name}.{variant}` |" in section
        has_example = (packs()[kpi.pack] / "examples" / f"{name}.csv").is_file()
        assert ("```csv" in section) == has_example
        assert has_example or name == "goal_attainment", "its goals stand in a project file"


def test_every_column_that_a_kpi_reads_says_where_it_comes_from() -> None:
    rows = re.findall(
        r"^\| \[(\w+)\]\(datasets\.md#\w+\) \| `(\w+)` \| (.*) \| (.*) \|$", PAGE, re.M
    )
    assert len({dataset for dataset, *_ in rows}) >= 20
    for dataset, column, salesforce, hubspot in rows:
        origin = canonical_datasets()[dataset].column(column)
        assert salesforce.endswith(origin.salesforce.replace("|", "\\|"))
        assert hubspot.endswith(origin.hubspot.replace("|", "\\|"))


def test_every_line_of_the_articles_is_on_the_page_with_its_tick() -> None:
    lines = re.findall(r"^- \[([ x])\] (.*)$", PAGE, re.MULTILINE)
    with (REPO / "docs" / "coverage.csv").open(encoding="utf-8", newline="") as file:
        owned = list(csv.DictReader(file))
    assert len(lines) == len(owned) == 138
    for (tick, text), line in zip(lines, owned, strict=True):
        assert text.startswith(f"{line['phrase']}: ")
        assert (tick == " ") == ("*Open: " in text)


def test_what_covers_a_line_exists() -> None:
    kpis = catalog().kpis
    known = {*kpis, *(name for kpi in kpis.values() for name in kpi.variants)}
    known |= {dimension for kpi in kpis.values() for dimension in kpi.dimensions}
    known |= {*canonical_datasets(), "customer_spells", "agent_scorecard", "last_engaged_at"}
    with (REPO / "docs" / "coverage.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", line["covered_by"]))
            assert named <= known, f"{line['phrase']}: {named - known}"


@pytest.mark.shared
def test_the_articles_are_those_of_the_catalogue(catalogue: str) -> None:
    part = catalogue.partition("# 4. Seed coverage")[2]
    lines = re.findall(r"^\| (\d{3})_\S+ \| (.*) \| (.*) \|$", part, re.MULTILINE)
    with (REPO / "docs" / "coverage.csv").open(encoding="utf-8", newline="") as file:
        owned = [(row["article"], row["phrase"], row["covered_by"]) for row in csv.DictReader(file)]
    assert owned == [(str(int(seed) + 1), phrase, by) for seed, phrase, by in lines]


# --- ids, columns, examples -------------------------------------------------------------------


@pytest.mark.shared
def test_the_packs_have_the_entries_and_variants_of_the_catalogue(
    entries: dict[str, str], catalogue: str
) -> None:
    assert set(catalog().kpis) == set(entries)
    listed = dict(re.findall(r"`(\w+)` \(\d+\): ([a-z_, ]+)", catalogue))
    for pack, names in listed.items():
        own = {name for name, kpi in catalog().kpis.items() if kpi.pack == pack}
        assert own == set(names.split(", "))
    variants = 0
    for name, entry in entries.items():
        (text,) = re.findall(r"^- \*\*Variants:\*\* (.*)$", entry, re.MULTILINE)
        own = [variant for variant in catalog().kpis[name].variants if variant]
        variants += len(own)
        assert [v for v in own if f"`{v}`" not in text] == []
        assert catalog().kpis[name].mistakes
    assert variants == 176


@pytest.mark.shared
def test_origins_of_columns_are_those_of_the_catalogue(catalogue: str) -> None:
    part = catalogue.partition("## 1.2 Tables")[2].partition("## 1.3 ")[0]
    compared = 0
    for dataset, text in re.findall(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", part, re.M | re.DOTALL):
        for cells in re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE):
            name, (_, null, _, _, salesforce, hubspot) = cells[0], cells[1].split(" | ")
            column = canonical_datasets()[dataset].column(name)
            assert (column.salesforce, column.hubspot) == (salesforce.strip(), hubspot.strip())
            assert column.nullable == (null.strip() == "yes")
            compared += 1
    assert compared == 225


@pytest.mark.shared
def test_owned_examples_are_those_of_the_catalogue(entries: dict[str, str]) -> None:
    # What the owned ones show besides lies in datasets of its own, for variants and dimensions.
    for name, entry in entries.items():
        (block,) = re.findall(r"```csv\n(.*?)```", entry, re.DOTALL)
        if name == "goal_attainment":
            continue  # goals stand in a project file: tests/metrics/test_goal_attainment.py
        file = packs()[catalog().kpis[name].pack] / "examples" / f"{name}.csv"
        owned = read_example(file.read_text("utf-8"), file=str(file))
        tables = read_tables(block)
        for dataset, table in tables.items():
            assert owned.tables[dataset].to_pylist() == table.to_pylist(), (name, dataset)


@pytest.mark.shared
def test_owned_examples_expect_what_the_catalogue_says(entries: dict[str, str]) -> None:
    for name, entry in entries.items():
        if name == "goal_attainment":
            continue
        (text,) = re.findall(r"^- \*\*Example:\*\* expected `(.*?)`\.", entry, re.MULTILINE)
        file = packs()[catalog().kpis[name].pack] / "examples" / f"{name}.csv"
        owned = read_example(file.read_text("utf-8"), file=str(file)).expected
        known = {round(item.value, 4) for item in owned if item.value is not None}
        known |= {round(count, 4) for item in owned for count in item.coverage.values()}
        figures = re.sub(r"'[^']*'", "", text)
        wanted = {round(float(number), 4) for number in NUMBER.findall(figures)}
        if name == "cost_savings":
            wanted.discard(1)  # "1 = both rows are consistent": ours counts those that are not
        assert wanted, (name, text)
        assert wanted <= known, (name, text, wanted - known)
