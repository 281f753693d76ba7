"""The project file of the documentation loads as written, and tells everything that is wrong."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from config.stand_ins import EXAMPLE_VARIABLES, CsvOptions, ProjectFolder, SalesforceOptions
from crmetrics.errors import ExitCode
from crmetrics.periods import Calendar


def test_the_core_sections_have_the_values_of_the_file(folder: ProjectFolder, example: str) -> None:
    config = folder.load(example, **EXAMPLE_VARIABLES)
    assert config.project == "acme"
    assert config.directory == folder.directory
    assert config.file == folder.directory / "crmetrics.yaml"
    assert config.plugins == ()
    assert config.reporting.currency == "USD"
    assert config.reporting.calendar == Calendar("America/New_York", 0, (2, 1))
    assert config.warehouse.path == folder.directory / ".crmetrics/warehouse.duckdb"
    assert config.warehouse.spill_directory == folder.directory / ".crmetrics/spill"
    assert config.notes == ()


def test_sources_are_options_of_their_connector(folder: ProjectFolder, example: str) -> None:
    sources = folder.load(example, **EXAMPLE_VARIABLES).sources
    assert list(sources) == ["sf_prod", "finance", "pipeline_export"]
    salesforce = sources["sf_prod"]
    assert salesforce.connector == "salesforce"
    assert isinstance(salesforce.options, SalesforceOptions)
    assert salesforce.options.overlap == timedelta(minutes=10)
    assert salesforce.options.auth.flow == "client_credentials"
    assert salesforce.options.auth.client_secret.reveal() == EXAMPLE_VARIABLES["SF_CLIENT_SECRET"]
    assert salesforce.options.datasets["accounts"].columns == {"segment": "Segment__c"}
    export = sources["pipeline_export"].options
    assert isinstance(export, CsvOptions)
    assert export.datasets["opportunities"].file == "exports/sales_pipeline*.csv"
    assert export.datasets["opportunities"].columns["is_won"] == "deal_stage = 'Won'"


def test_metrics_goals_sinks_and_jobs_are_read(folder: ProjectFolder, example: str) -> None:
    config = folder.load(example, **EXAMPLE_VARIABLES)
    assert config.metrics.packs == ("sales", "leads", "service")
    assert config.metrics.disable == ("stage_duration",)
    assert config.metrics.settings["min_sample"] == 20
    assert config.metrics.settings["first_response_time"] == {"target_seconds": 3600}
    (goal,) = config.goals
    assert (goal.kpi, goal.baseline, goal.target) == ("win_rate", 0.30, 0.40)
    assert (goal.start, goal.due) == (date(2026, 1, 1), date(2026, 6, 30))
    assert goal.guardrails["average_deal_size"].min == 9000
    assert [(name, sink.sink) for name, sink in config.sinks.items()] == [
        ("history", "database"),
        ("reports", "files"),
        ("team", "slack"),
    ]
    job = config.jobs["weekly_sales"]
    assert job.schedule == "0 8 * * MON"
    assert (job.grain, job.totals, job.where) == ("week", True, None)
    assert job.kpis == ("win_rate", "won_amount", "average_deal_size.median")
    assert job.by == (("owner.team",),)
    assert job.compare == ("previous", "year_ago")
    assert job.sinks == ("history", "reports", "team")


def test_a_value_knows_its_place(folder: ProjectFolder, example: str) -> None:
    config = folder.load(example, **EXAMPLE_VARIABLES)
    lines = example.splitlines()
    place = config.place("jobs", "weekly_sales", "kpis", 1)
    assert lines[place.line - 1][place.column - 1 :].startswith("won_amount")
    assert place.file == "crmetrics.yaml"
    key = config.place("jobs", "weekly_sales", at_key=True)
    assert lines[key.line - 1][key.column - 1 :].startswith("weekly_sales:")
    default = config.place("jobs", "weekly_sales", "totals")
    assert default == key
    finding = place.finding("unknown KPI 'won_amount'.", "Did you mean 'won'?")
    assert str(finding).startswith(f"crmetrics.yaml:{place.line}:{place.column}: unknown KPI")


def test_a_value_from_a_variable_keeps_its_place(folder: ProjectFolder, example: str) -> None:
    config = folder.load(example, **EXAMPLE_VARIABLES)
    place = config.place("sinks", "team", "webhook_url")
    line = example.splitlines()[place.line - 1]
    assert line[place.column - 1 :].startswith("${SLACK_WEBHOOK_URL}")


MISTAKES = {
    "America/New_York": "Amerika/New_York",
    "week_start: monday": "week_start: mnday",
    "02-01}": "02-30}",
    "plugins:": "plugin:",
    "connector: salesforce": "connector: salesfroce",
    "      accounts:": "      acounts:",
    "          id: opportunity_id": "          ids: opportunity_id",
    "min_sample: 20": "min_sampl: 20",
    "target: 0.40": "target: 40%",
    "due: 2026-06-30": "due: 2025-06-30",
    "formats: [csv, html]": "formats: [csv, htm]",
    'schedule: "0 8 * * MON"': 'schedule: "0 8 * *"',
    "grain: week": "grain: weak",
    "kpis: [win_rate": "kpi: [win_rate",
    "sinks: [history": "sinks: [histroy",
}


@pytest.mark.parametrize("right", [right for right in MISTAKES if right != "      accounts:"])
def test_one_mistake_gives_findings_in_its_line_only(
    folder: ProjectFolder, example: str, right: str
) -> None:
    text = example.replace(right, MISTAKES[right], 1)
    line = text[: text.index(MISTAKES[right])].count("\n") + 1
    findings = folder.findings(text, **EXAMPLE_VARIABLES)
    # A key that is missing is told at the section it is missing from.
    elsewhere = [it for it in findings if it.line != line and "it is missing" not in it.message]
    assert elsewhere == []
    assert any(it.line == line and it.column > 0 for it in findings)


def test_all_mistakes_are_told_at_once(folder: ProjectFolder, example: str) -> None:
    text = example
    for right, wrong in MISTAKES.items():
        text = text.replace(right, wrong, 1)
    error = folder.error(text, **EXAMPLE_VARIABLES)
    assert error.exit_code == ExitCode.USAGE
    told = str(error)
    for name in (
        "reporting.timezone",
        "reporting.week_start",
        "reporting.fiscal_year_start",
        "unknown key 'plugin'",
        "unknown connector 'salesfroce'",
        "no column 'ids'",
        "unknown setting 'min_sampl'",
        "goals[0].target",
        "goals[0].due",
        "sinks.reports.formats[1]",
        "jobs.weekly_sales.schedule",
        "jobs.weekly_sales.grain",
        "unknown key 'kpi'",
        "expected the key 'kpis'",
        "found 'histroy'",
    ):
        assert name in told
    # The other keys of an unknown connector are not judged.
    assert "acounts" not in told
    places = [(it.line, it.column) for it in error.findings]
    assert places == sorted(places)
    assert len(error.findings) == len(MISTAKES)


def test_all_variables_that_are_missing_are_told_at_once(
    folder: ProjectFolder, example: str
) -> None:
    messages = folder.messages(example)
    assert len(messages) == len(EXAMPLE_VARIABLES)
    for name in EXAMPLE_VARIABLES:
        assert any(f"variable {name} is not set" in message for message in messages)


def test_the_example_is_the_one_of_the_design(example: str) -> None:
    design = Path(__file__).resolve().parents[3] / "shared" / "design.md"
    if not design.is_file():
        pytest.skip("needs the design document beside the checkout (../shared/design.md)")
    assert example in design.read_text(encoding="utf-8")


def test_the_example_loads_in_less_than_60_ms_of_cpu(folder: ProjectFolder, example: str) -> None:
    folder.load(example, **EXAMPLE_VARIABLES)
    start = time.process_time()
    folder.load(example, **EXAMPLE_VARIABLES)
    assert time.process_time() - start < 0.060
