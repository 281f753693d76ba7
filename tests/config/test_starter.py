"""The files of `crmetrics init`."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from io import StringIO

import pytest

from config.stand_ins import DATASETS, CsvOptions, ProjectFolder
from crmetrics.config import starter_files
from crmetrics.periods import add_months

TODAY = date(2026, 3, 31)


def write_starter(folder: ProjectFolder, project: str = "acme", currency: str = "EUR") -> None:
    files = starter_files(project, timezone="Europe/Berlin", currency=currency, today=TODAY)
    for name, text in files.items():
        (folder.directory / name).parent.mkdir(exist_ok=True)
        folder.write(text, name)


def rows(name: str, today: date = TODAY) -> list[dict[str, str]]:
    files = starter_files("acme", timezone="UTC", currency="USD", today=today)
    return list(csv.DictReader(StringIO(files[f"data/{name}.csv"])))


def test_the_starter_project_loads_and_needs_no_variable(folder: ProjectFolder) -> None:
    write_starter(folder)
    config = folder.load()
    assert config.project == "acme"
    assert (config.reporting.timezone, config.reporting.currency) == ("Europe/Berlin", "EUR")
    assert config.metrics.packs == ("sales",)
    options = config.sources["files"].options
    assert isinstance(options, CsvOptions)
    assert options.path == "data"
    (job,) = config.jobs.values()
    assert job.schedule is None
    assert {config.sinks[name].sink for name in job.sinks} == {"files", "database"}
    assert config.notes == ()


@pytest.mark.parametrize("project", ['Acme "North" & Söhne', "${HOME}", "a: b # c", "yes", "007"])
def test_any_project_name_is_kept(folder: ProjectFolder, project: str) -> None:
    write_starter(folder, project)
    assert folder.load().project == project


def test_what_is_commented_out_loads_too_when_its_marks_are_removed(folder: ProjectFolder) -> None:
    write_starter(folder)
    text = (folder.directory / "crmetrics.yaml").read_text(encoding="utf-8")
    for name in ("goals", "  - title", "    kpi", "    objective", "    baseline", "    target"):
        text = text.replace(f"# {name}:", f"{name}:")
    for name in ("start", "due", "owner", "rationale", "guardrails"):
        text = text.replace(f"#     {name}:", f"    {name}:")
    text = text.replace("  # team:", "  team:").replace("    # schedule:", "    schedule:")
    config = folder.load(text, SLACK_WEBHOOK_URL="https://hooks.example.com/x")
    assert config.goals[0].kpi == "win_rate"
    assert config.sinks["team"].sink == "slack"
    assert config.jobs["monthly_sales"].schedule == "0 8 1 * *"


@pytest.mark.parametrize("name", ["opportunities", "accounts", "users"])
def test_the_columns_are_those_of_the_dataset(name: str) -> None:
    table = rows(name)
    assert table
    assert all(column in DATASETS[name] for column in table[0])
    required = {it.name for it in DATASETS[name].columns if not it.nullable and it.default is None}
    assert required - {"source"} <= set(table[0])
    assert len({row["id"] for row in table}) == len(table)


def test_the_references_of_the_example_rows_exist() -> None:
    users = {row["id"] for row in rows("users")}
    accounts = {row["id"] for row in rows("accounts")}
    assert {row["owner_id"] for row in rows("opportunities")} == users
    assert {row["account_id"] for row in rows("opportunities")} <= accounts
    assert {row["owner_id"] for row in rows("accounts")} <= users


@pytest.mark.parametrize(
    "today", [date(2026, 1, 1), date(2026, 3, 31), date(2028, 2, 29), date(2026, 12, 31)]
)
def test_the_last_two_complete_months_have_won_and_lost_deals(today: date) -> None:
    month = today.replace(day=1)
    for back in (1, 2):
        start, end = add_months(month, -back), add_months(month, 1 - back)
        closed = [
            row["is_won"]
            for row in rows("opportunities", today)
            if row["is_closed"] == "true" and start <= date.fromisoformat(row["close_date"]) < end
        ]
        assert set(closed) == {"true", "false"}


def test_nothing_in_the_examples_was_made_after_the_project_began() -> None:
    for row in rows("opportunities"):
        created = date.fromisoformat(row["created_at"][:10])
        closed = date.fromisoformat(row["close_date"])
        assert created < closed
        assert created < TODAY
        assert (closed < TODAY) == (row["is_closed"] == "true")
        assert closed - created < timedelta(days=365)


def test_secrets_and_results_stay_out_of_version_control() -> None:
    files = starter_files("acme", timezone="UTC", currency="USD", today=TODAY)
    ignored = files[".gitignore"].splitlines()
    assert {".crmetrics/", ".env", "reports/", "results.duckdb"} <= set(ignored)
    assert "SLACK_WEBHOOK_URL=" in files[".env.example"]
    assert "@PROJECT@" not in "".join(files.values())


def test_the_example_env_file_is_one(folder: ProjectFolder) -> None:
    write_starter(folder)
    text = starter_files("acme", timezone="UTC", currency="USD", today=TODAY)[".env.example"]
    folder.write(text.replace("#HUBSPOT_TOKEN=", "HUBSPOT_TOKEN=abc"), ".env")
    assert folder.load("project: ${HUBSPOT_TOKEN}\n").project == "abc"
