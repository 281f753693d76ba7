"""The contract of metric packs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from crmetrics.catalog import Catalog, load_catalog
from crmetrics.errors import CrmetricsError
from crmetrics.plugin import MetricPack
from crmetrics.results import UNITS
from crmetrics.testing.examples import Example, Expectation, read_example_file
from crmetrics.testing.projects import load_tables, write_project

if TYPE_CHECKING:
    from crmetrics.engine import Project

_LATE = datetime(2030, 1, 1, tzinfo=UTC)
"""The present of an example: late enough for all windows to be over."""

_EARLY = date(2000, 1, 1)


class PackContract:
    """What every metric pack keeps; subclass it and give the fixture `pack`.

    The worked examples stand in the folder `examples/` of the pack (`crmetrics.testing.examples`
    tells their form). They are the proof that the numbers are right: a pack has at least one.
    """

    tolerance: ClassVar[float] = 1e-4
    """By how much a value of an example may differ."""

    has_examples: ClassVar[bool] = True
    """False for a pack whose examples are tested elsewhere."""

    # --- what a subclass gives ---------------------------------------------------------------

    @pytest.fixture
    def pack(self) -> MetricPack:
        """The pack: `MetricPack.from_package("crmetrics_mine")` or `MetricPack(name, path)`."""
        raise NotImplementedError("give the fixture `pack` in the test class")

    @pytest.fixture
    def companions(self) -> Sequence[MetricPack]:
        """Packs whose KPIs or models the pack builds on."""
        return ()

    @pytest.fixture
    def examples(self, pack: MetricPack) -> list[Path]:
        """The files of worked examples."""
        return sorted((pack.path / "examples").glob("*.csv"))

    # --- fixtures of the contract --------------------------------------------------------------

    @pytest.fixture
    def catalog(self, pack: MetricPack, companions: Sequence[MetricPack]) -> Catalog:
        return load_catalog([*companions, pack])

    # --- definitions ------------------------------------------------------------------------

    def test_the_definitions_load_without_findings(
        self, pack: MetricPack, companions: Sequence[MetricPack]
    ) -> None:
        catalog = load_catalog([*companions, pack])
        assert [kpi for kpi in catalog.kpis.values() if kpi.pack == pack.name], (
            f"no KPI in {pack.path}: expected *.yaml files with `kpis:`"
        )

    def test_every_kpi_says_what_it_answers(self, pack: MetricPack, catalog: Catalog) -> None:
        silent = []
        for kpi in catalog.kpis.values():
            if kpi.pack == pack.name:
                texts = {"title": kpi.title, "question": kpi.question, "source": kpi.source,
                         "mistakes": kpi.mistakes}  # fmt: skip
                silent += [f"{kpi.id}: {name}" for name, text in texts.items() if not text]
        assert not silent, "a reader cannot do without these"

    def test_every_value_has_a_unit_and_a_good_direction(
        self, pack: MetricPack, catalog: Catalog
    ) -> None:
        for kpi in catalog.kpis.values():
            if kpi.pack == pack.name:
                assert kpi.better in ("higher", "lower", "none"), kpi.id
                units = {variant.unit or kpi.unit for variant in kpi.variants.values()}
                assert units <= set(UNITS), f"{kpi.id}: {sorted(units - set(UNITS))}"

    def test_every_expression_binds(
        self, catalog: Catalog, pack: MetricPack, tmp_path: Path
    ) -> None:
        # Loaded without rows and covering all time: nothing is out of reach, so that every
        # statement is compiled and run, alone and by each of the KPI's dimensions.
        project = _project(tmp_path, catalog)
        datasets = project.registry.datasets
        empty = {name: dataset.arrow_schema().empty_table() for name, dataset in datasets.items()}
        load_tables(tmp_path, empty, datasets=datasets, covers_from=_EARLY)
        problems = []
        for kpi in catalog.kpis.values():
            if kpi.pack == pack.name:
                alone = [f"{kpi.id}.{variant}".rstrip(".") for variant in kpi.variants]
                asked: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in alone]
                asked += [(kpi.id, (dimension,)) for dimension in kpi.dimensions]
                problems += [_refusal(project, name, by) for name, by in asked]
        assert not any(problems), "\n".join(filter(None, problems))

    # --- numbers ----------------------------------------------------------------------------

    def test_the_worked_examples_give_their_values(
        self, catalog: Catalog, examples: list[Path], tmp_path: Path
    ) -> None:
        if not self.has_examples:
            pytest.skip("the examples of this pack are tested elsewhere (has_examples = False)")
        assert examples, "no worked example: put one into examples/*.csv"
        wrong = []
        for number, path in enumerate(examples):
            example = read_example_file(path)
            assert example.expected, f"{path.name}: @expected is missing"
            project = _project(tmp_path / str(number), catalog, example)
            for expectation in example.expected:
                problem = _difference(project, expectation, self.tolerance)
                if problem:
                    wrong.append(f"{path.name}:{expectation.line}: {expectation.kpi} {problem}")
        assert not wrong, "\n".join(wrong)


def _project(directory: Path, catalog: Catalog, example: Example | None = None) -> Project:
    """A project that holds the example and has just the definitions of the catalog."""
    from crmetrics.engine import Project

    tables = {} if example is None else dict(example.tables)
    settings = {} if example is None else dict(example.settings)
    write_project(directory, {}, packs=(), settings=settings)
    load_tables(directory, tables)
    project = Project(directory, environ={}, now=lambda: _LATE)
    # The pack under test needs not be installed; what the project file enables is replaced.
    project.catalog = catalog
    return project


def _refusal(project: Project, kpi: str, by: Sequence[str]) -> str:
    """Why the engine cannot compute the KPI in these groups; empty when it can."""
    try:
        project.query([kpi], period="2026-01", by=list(by))
    except CrmetricsError as exc:
        return f"{kpi}{' by ' if by else ''}{', '.join(by)}: {exc}"
    return ""


def _difference(project: Project, expected: Expectation, tolerance: float) -> str:
    """What is wrong with the value; empty when nothing is."""
    table = project.query(
        [expected.kpi],
        period=expected.period,
        by=list(expected.by),
        as_of=expected.as_of or None,
    )
    rows = [row for row in table.to_pylist() if dict(row["segment"]) == dict(expected.segment)]
    if len(rows) != 1:
        found = [dict(row["segment"]) for row in table.to_pylist()]
        return f"expected one row for {dict(expected.segment)}, found rows for {found}"
    row = rows[0]
    for name in ("status", "n"):
        wanted = getattr(expected, name)
        if wanted not in ("", None) and row[name] != wanted:
            return f"expected {name} {wanted}, found {row[name]}"
    counts = dict(row["coverage"])
    for name, wanted in expected.coverage.items():
        if abs(counts.get(name, 0.0) - wanted) > tolerance:
            return f"expected {name} = {wanted:g}, found {counts.get(name, 0.0):g}"
    if (expected.value is None) != (row["value"] is None) or (
        expected.value is not None and abs(row["value"] - expected.value) > tolerance
    ):
        return f"expected {expected.value}, found {row['value']} ({row['status']})"
    return ""
