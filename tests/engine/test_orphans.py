"""References that lead nowhere are counted row by row, each looked up in its own source."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from crmetrics.engine import Project


def write(directory: Path, **files: str) -> Project:
    """A project with a source per folder; `a__accounts` is the file accounts.csv of source a."""
    sources = sorted({name.partition("__")[0] for name in files})
    for name, text in files.items():
        source, _, dataset = name.partition("__")
        (directory / source).mkdir(exist_ok=True)
        (directory / source / f"{dataset}.csv").write_text(text)
    listed = "".join(f"  {name}: {{connector: csv, path: {name}}}\n" for name in sources)
    (directory / "crmetrics.yaml").write_text(f"sources:\n{listed}metrics: {{packs: [sales]}}\n")
    return Project(directory, environ={}, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))


def found(project: Project) -> list[tuple[str, str, int, tuple[str, ...]]]:
    return [(o.dataset, o.key, o.rows, o.examples) for o in project.sync().orphans]


def test_every_row_behind_a_lost_key_counts_but_no_deleted_one(tmp_path: Path) -> None:
    deals = "id,account_id,is_deleted\n1,A,false\n2,X,false\n3,X,false\n4,Y,true\n5,,false\n"
    project = write(tmp_path, a__accounts="id\nA\n", a__opportunities=deals)
    assert found(project) == [("opportunities", "account_id", 2, ("X",))]


def test_a_key_is_looked_up_in_the_source_of_its_row(tmp_path: Path) -> None:
    project = write(
        tmp_path,
        a__accounts="id\nA\n",
        a__opportunities="id,account_id\n1,A\n2,B\n",
        b__accounts="id\nB\n",
        b__opportunities="id,account_id\n1,A\n2,B\n3,A\n",
        c__opportunities="id,account_id\n1,A\n2,C\n",
    )
    assert found(project) == [("opportunities", "account_id", 4, ("A", "B", "C"))]


def test_where_every_key_is_found_nothing_is_told(tmp_path: Path) -> None:
    project = write(tmp_path, a__accounts="id\nA\n", a__opportunities="id,account_id\n1,A\n2,\n")
    assert found(project) == []


def test_keys_to_one_dataset_are_told_apart(tmp_path: Path) -> None:
    """Looked up together: one of deals, one of leads, two of one activity, one of them lost."""
    project = write(
        tmp_path,
        a__accounts="id,owner_id\nA,U\nB,V\n",
        a__users="id\nU\n",
        a__opportunities="id,account_id,owner_id\n1,A,U\n2,X,U\n",
        a__activities="id,account_id,opportunity_id,user_id\n1,A,1,U\n2,X,2,U\n3,X,9,W\n",
    )
    assert found(project) == [
        ("accounts", "owner_id", 1, ("V",)),
        ("opportunities", "account_id", 1, ("X",)),
        ("activities", "user_id", 1, ("W",)),
        ("activities", "account_id", 2, ("X",)),
        ("activities", "opportunity_id", 1, ("9",)),
    ]
