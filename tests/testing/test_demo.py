"""The demo project: complete, repeatable, and careful with what is not its own."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics.engine import Project
from crmetrics.errors import UsageError
from crmetrics.testing import SampleCrm, write_demo
from crmetrics.testing.demo import MARKER, demo_texts

NOW = datetime(2026, 1, 12, 9, tzinfo=UTC)


def small(folder: Path, seed: int = 7) -> Path:
    return write_demo(folder, seed=seed, scale=0.2)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo as users get it; tests only read it."""
    return write_demo(tmp_path_factory.mktemp("demos") / "demo")


def project(folder: Path) -> Project:
    return Project(folder, environ={}, now=lambda: NOW)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_demo_holds_a_file_per_dataset_and_its_project_files(demo: Path) -> None:
    names = {Path(name).stem for name in content(demo) if name.startswith("data/")}
    assert names == set(canonical_datasets())
    files = {name for name in content(demo) if not name.startswith("data/")}
    assert files == {MARKER, ".gitignore", "README.md", "crmetrics.yaml", "metrics/own.yaml"}


def test_nothing_is_left_to_fill_in(demo: Path) -> None:
    for name in ("README.md", "crmetrics.yaml", "metrics/own.yaml"):
        assert not re.search(r"@[A-Z_]+@", (demo / name).read_text(encoding="utf-8"))


def test_the_project_file_and_the_own_kpi_are_accepted(demo: Path) -> None:
    opened = project(demo)
    assert set(opened.config.jobs) == {"monthly_sales", "team_message"}
    assert "large_deals" in opened.catalog.kpis
    assert [goal.kpi for goal in opened.config.goals] == ["win_rate"]
    assert not opened.config.notes


def test_check_finds_no_error(tmp_path: Path) -> None:
    found = project(small(tmp_path / "demo")).check()
    assert not [result for result in found if result.state == "error"]


def test_only_the_message_job_would_reach_beyond_the_machine(demo: Path) -> None:
    config = project(demo).config
    kinds = {name: sink.sink for name, sink in config.sinks.items()}
    outside = {
        job.name for job in config.jobs.values() for sink in job.sinks if kinds[sink] == "slack"
    }
    assert outside == {"team_message"}


def test_the_figures_of_the_readme_are_what_the_engine_gives(tmp_path: Path) -> None:
    folder = write_demo(tmp_path / "demo")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \| (.+) \| (.+) \|$", readme, re.MULTILINE)
    assert len(rows) == 11
    months = re.search(r"^\| KPI \| (\S+) \| (\S+) \| (\S+) \|$", readme, re.MULTILINE)
    assert months is not None
    opened = project(folder)
    for place, month in enumerate(months.groups(), start=1):
        table = opened.query([row[0] for row in rows], period=month)
        values = {
            ".".join(filter(None, (row["kpi"], row["variant"]))): row["value"]
            for row in table.to_pylist()
        }
        for row in rows:
            assert figure(row[place]) == pytest.approx(values[row[0]], rel=1e-2), (row[0], month)


def figure(text: str) -> float:
    """`1,234 USD` or `41.9%` as a number."""
    number = float(re.sub(r"[^\d.-]", "", text))
    return number / 100 if text.endswith("%") else number


# --- writing again ------------------------------------------------------------------------------


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    folder = small(tmp_path / "demo")
    before = content(folder)
    small(folder)
    assert content(folder) == before


def test_changed_project_files_are_kept_and_data_is_written_again(tmp_path: Path) -> None:
    folder = small(tmp_path / "demo")
    before = content(folder)
    config, users = folder / "crmetrics.yaml", folder / "data" / "crm" / "users.csv"
    config.write_text("version: 1\n", encoding="utf-8")
    users.write_text("id\n", encoding="utf-8")
    (folder / "README.md").unlink()
    small(folder)
    after = content(folder)
    assert after.pop("crmetrics.yaml") == b"version: 1\n"
    before.pop("crmetrics.yaml")
    assert after == before
    # Still known as changed, the next time too.
    small(folder)
    assert config.read_text(encoding="utf-8") == "version: 1\n"


def test_own_files_beside_the_demo_stay(tmp_path: Path) -> None:
    folder = small(tmp_path / "demo")
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    small(folder)
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_another_seed_gives_other_data_in_the_same_folder(tmp_path: Path) -> None:
    folder = small(tmp_path / "demo")
    before = content(folder)["data/crm/opportunities.csv"]
    small(folder, seed=8)
    assert content(folder)["data/crm/opportunities.csv"] != before
    assert json.loads((folder / MARKER).read_text(encoding="utf-8"))["seed"] == 8


def test_a_demo_whose_writing_was_interrupted_can_be_written_again(tmp_path: Path) -> None:
    folder = small(tmp_path / "demo")
    before = content(folder)
    for name in ("crmetrics.yaml", "data/crm/leads.csv"):
        (folder / name).unlink()
    small(folder)
    assert content(folder) == before


@pytest.mark.parametrize("marker", ["", "{}", "[]", '{"files": 3}', '{"files": {"a": 1}}'])
def test_a_broken_marker_still_marks_a_demo(tmp_path: Path, marker: str) -> None:
    folder = small(tmp_path / "demo")
    before = content(folder)
    (folder / MARKER).write_text(marker, encoding="utf-8")
    small(folder)
    assert content(folder) == before


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert (small(tmp_path) / "crmetrics.yaml").is_file()


def test_a_folder_with_other_content_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(UsageError, match="is no demo"):
        small(tmp_path)
    assert content(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "demo"
    file.write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file"):
        small(file)


def test_another_end_moves_every_date() -> None:
    texts = demo_texts(SampleCrm(scale=0.1, end=date(2026, 11, 1)))
    assert "--date 2026-11-01" in texts["README.md"]
    assert "October 2026" in texts["README.md"]
    assert "start: 2026-05-01" in texts["crmetrics.yaml"]
