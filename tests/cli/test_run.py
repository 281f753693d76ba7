"""`crmetrics run`, `sync`, `plan` and `check` on a small project."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import Result

from crmetrics import Project
from crmetrics.cli.commands.check import exit_code as check_code
from crmetrics.cli.commands.run import exit_code as run_code
from crmetrics.cli.run_report import JobRun
from crmetrics.errors import CrmetricsError, QualityError, SinkError, SourceError, UsageError
from crmetrics.plugin import CheckResult

Call = Callable[..., Result]
REPORT = "reports/monthly_2024-01.csv"


def edit(project: Path, old: str, new: str) -> None:
    file = project / "crmetrics.yaml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def run(call: Call, project: Path, *options: str) -> Result:
    return call("-C", project, "run", *options, "--date", "2024-01-31")


def summary(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


# --- run -------------------------------------------------------------------------------------


def test_a_run_shows_the_kpis_and_delivers(call: Call, project: Path) -> None:
    result = run(call, project, "monthly")
    assert result.exit_code == 0, result.stderr
    assert "60.0 %" in result.stdout
    assert f"delivered  reports  {REPORT}" in result.stdout
    assert (project / REPORT).is_file()


def test_notes_and_progress_go_to_standard_error(call: Call, project: Path) -> None:
    result = run(call, project, "monthly")
    assert "crm.opportunities: 8 records" in result.stderr
    assert "8 records" not in result.stdout


def test_date_chooses_the_last_complete_period_on_or_before(call: Call, project: Path) -> None:
    result = call("-C", project, "run", "--date", "2024-01-30", "--json")
    (job,) = summary(result)["jobs"]
    assert (job["period_start"], job["period_end"]) == ("2023-12-01", "2024-01-01")


def test_json_is_one_summary_and_nothing_else(call: Call, project: Path) -> None:
    result = run(call, project, "monthly", "--json")
    document = summary(result)
    (job,) = document["jobs"]
    totals = [row for row in job["results"] if row["kpi"] == "win_rate" and not row["segment"]]
    assert document["exit_code"] == job["exit_code"] == 0
    assert [row["value"] for row in totals] == [0.6]
    assert [(d["sink"], d["status"]) for d in job["deliveries"]] == [("reports", "delivered")]


def test_the_end_of_a_run_is_one_line_of_the_log(call: Call, project: Path) -> None:
    told = run(call, project, "monthly", "--json", "--log-format", "json")
    *_, last = [json.loads(line) for line in told.stderr.splitlines()]
    (job,) = summary(told)["jobs"]
    assert (last["run_id"], last["job"], last["exit_code"]) == (job["run_id"], "monthly", 0)
    assert (last["period_start"], last["delivered"]) == ("2024-01-01", 1)
    loading = [json.loads(line) for line in told.stderr.splitlines() if "records" in line]
    assert job["run_id"] in {line["run_id"] for line in loading}


def test_a_dry_run_prints_exactly_what_would_be_sent_and_sends_nothing(
    call: Call, project: Path
) -> None:
    result = run(call, project, "monthly", "--dry-run", "--json")
    (delivery,) = summary(result)["jobs"][0]["deliveries"]
    expected = Project(project).run("monthly", date="2024-01-31", dry_run=True).previews["reports"]
    assert delivery["status"] == "previewed"
    # The two runs differ in their id and instants, which stand behind the definition.
    assert _without_run(delivery["preview"]) == _without_run(expected)
    assert not (project / "reports").exists()


def _without_run(preview: str) -> list[str]:
    return [line.partition("T")[0] for line in preview.splitlines()]


def test_a_dry_run_for_people_shows_the_whole_preview(call: Call, project: Path) -> None:
    result = run(call, project, "monthly", "--dry-run")
    assert "--- what reports would send\n" in result.stdout
    assert not (project / "reports").exists()


def test_all_jobs_run_when_none_is_named(call: Call, project: Path) -> None:
    edit(project, "jobs:\n", "jobs:\n  second: {grain: month, kpis: [won_amount]}\n")
    document = summary(run(call, project, "--json"))
    assert [job["job"] for job in document["jobs"]] == ["second", "monthly"]


def test_an_unknown_job_runs_nothing(call: Call, project: Path) -> None:
    result = run(call, project, "monthly", "montly")
    assert result.exit_code == 2
    assert "Did you mean 'monthly'?" in result.stderr
    assert not (project / ".crmetrics").exists()


def test_a_source_that_fails_exits_with_3_and_says_so(call: Call, project: Path) -> None:
    (project / "data" / "opportunities.csv").write_text("id,close_date\n1,not a day\n")
    result = run(call, project, "monthly")
    assert result.exit_code == 3
    assert "crm.opportunities was not read" in result.stderr


def test_a_sink_that_fails_exits_with_5_and_shows_its_error(call: Call, project: Path) -> None:
    (project / "reports").write_text("a file where a folder should be")
    result = run(call, project, "monthly")
    assert result.exit_code == 5
    assert "failed" in result.stdout


def add_bad_sink(project: Path) -> None:
    """The sink `odd`, whose constructor raises."""
    (project / "plugins").mkdir()
    (project / "plugins" / "bad.py").write_text(
        dedent("""
            from crmetrics.plugin import Sink, hookimpl

            class BadSink(Sink):
                name = "bad"
                def __init__(self, config, context):
                    raise ValueError("a bug")
                def destination(self, delivery): return "x"
                def preview(self, delivery): return "x"
                def write(self, delivery): raise AssertionError

            @hookimpl
            def crmetrics_sinks():
                return [BadSink]
        """)
    )
    edit(project, "sinks:\n", "sinks:\n  odd: {sink: bad}\n")


def test_a_sink_that_cannot_be_opened_exits_with_5_and_stops_no_other(
    call: Call, project: Path
) -> None:
    add_bad_sink(project)
    edit(project, "sinks: [reports]", "sinks: [odd, reports]")
    result = run(call, project, "monthly", "--json")
    assert result.exit_code == 5
    odd, reports = summary(result)["jobs"][0]["deliveries"]
    told = "sink 'odd' (bad) could not be opened: ValueError: a bug"
    assert (odd["status"], odd["error"]) == ("failed", told)
    assert (reports["status"], (project / REPORT).is_file()) == ("delivered", True)
    listed = call("-C", project, "deliveries", "--format", "json", "--sink", "odd")
    (kept,) = json.loads(listed.stdout)
    assert (kept["status"], kept["error"]) == ("failed", told)


def add_bad_source(project: Path, *, is_local: bool = True, method: str = "__init__") -> None:
    """The source `odd`, first of all, one of whose methods raises until there is a file `mended`;
    a file `met` becomes that."""
    (project / "plugins").mkdir()
    (project / "plugins" / "bad.py").write_text(
        dedent(f"""
            from crmetrics.plugin import Connector, Supply, hookimpl

            class BadConnector(Connector):
                name = "bad"
                is_local = {is_local}
                def datasets(self): return [Supply("leads", ("id",))]
                def read(self, request): return iter(())

            def {method}(self, *given):
                Connector.{method}(self, *given)
                met, mended = (self.context.project_dir / name for name in ("met", "mended"))
                if not mended.exists():
                    if met.exists():
                        met.rename(mended)
                    raise ValueError("a bug")

            BadConnector.{method} = {method}

            @hookimpl
            def crmetrics_connectors():
                return [BadConnector]
        """)
    )
    edit(project, "sources:\n", "sources:\n  odd: {connector: bad}\n")


def test_a_job_that_fails_does_not_stop_the_next(call: Call, project: Path) -> None:
    add_bad_source(project, method="datasets")
    (project / "met").touch()
    edit(project, "jobs:\n", "jobs:\n  first: {kpis: [won_amount]}\n")
    result = run(call, project)
    assert result.exit_code == 3
    assert "ValueError: a bug" in result.stderr
    assert (project / REPORT).is_file()


@pytest.mark.parametrize("is_local", [True, False])
def test_a_source_that_cannot_be_opened_exits_with_3_and_stops_no_other(
    call: Call, project: Path, is_local: bool
) -> None:
    add_bad_source(project, is_local=is_local)
    result = run(call, project, "monthly")
    told = "odd was not read: source 'odd' (bad) could not be opened: ValueError: a bug"
    assert (result.exit_code, result.stderr.count("a bug")) == (3, 1)
    assert told in result.stderr
    assert "60.0 %" in result.stdout
    assert (project / REPORT).is_file()


def test_a_source_that_can_be_opened_again_is_read_like_any_other(
    call: Call, project: Path
) -> None:
    add_bad_source(project, is_local=False)
    assert run(call, project, "monthly").exit_code == 3
    (project / "mended").touch()
    assert run(call, project, "monthly").exit_code == 0


def test_a_folder_that_is_missing_stops_no_other_source(call: Call, project: Path) -> None:
    edit(project, "sources:\n", "sources:\n  plans: {connector: csv, path: nowhere}\n")
    result = run(call, project, "monthly")
    assert result.exit_code == 3
    assert "plans was not read: " in result.stderr
    assert (project / REPORT).is_file()


def test_sync_names_a_source_that_cannot_be_opened_and_loads_the_others(
    call: Call, project: Path
) -> None:
    add_bad_source(project)
    result = call("-C", project, "sync", "--json")
    assert result.exit_code == 3
    loaded = {(one["source"], one["dataset"]): one for one in summary(result)["datasets"]}
    assert "could not be opened: ValueError: a bug" in loaded["odd", ""]["error"]
    assert loaded["crm", "opportunities"]["rows"] == 8
    assert "odd was not read: source 'odd' (bad)" in call("-C", project, "sync").stderr


def test_check_reports_a_source_that_cannot_be_opened_and_looks_at_the_others(
    call: Call, project: Path
) -> None:
    add_bad_source(project)
    result = call("-C", project, "check", "--json")
    assert result.exit_code == 3
    found = {one["subject"]: one for one in json.loads(result.stdout)}
    assert found["source odd"]["message"].startswith("source 'odd' (bad) could not be opened: ")
    assert any(name.startswith("source crm") for name in found)


@pytest.mark.parametrize("fails", [False, True])
def test_every_json_line_of_a_run_names_it(call: Call, project: Path, fails: bool) -> None:
    (project / "data" / "users.csv").unlink()
    (project / "data" / "accounts.csv").write_text("id,name\na,1,torn\n")
    if fails:
        add_bad_source(project)
    result = call("-C", project, "--log-format", "json", "run", "--date", "2024-01-31", "monthly")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert len(lines) > 1
    assert len({line["run_id"] for line in lines}) == 1
    assert lines[0]["run_id"]
    assert lines[-1]["exit_code"] == result.exit_code
    assert any("a bug" in line["message"] for line in lines) == fails


def test_goals_decide_only_when_asked_to(call: Call, project: Path) -> None:
    assert run(call, project, "monthly").exit_code == 0
    assert run(call, project, "monthly", "--fail-on", "goals").exit_code == 6


def test_partial_data_pass_only_when_asked_to(call: Call, project: Path) -> None:
    edit(project, "kpis: [", "kpis: [pipeline_coverage, ")
    assert run(call, project, "monthly").exit_code == 4
    assert run(call, project, "monthly", "--pass-on", "partial").exit_code == 0
    (project / "data" / "opportunities.csv").unlink()
    assert run(call, project, "monthly", "--pass-on", "partial").exit_code == 3


def test_a_second_run_confirms_and_exits_with_0(call: Call, project: Path) -> None:
    run(call, project, "monthly")
    assert run(call, project, "monthly").exit_code == 0


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([SinkError("x"), SourceError("x")], 3),
        ([SourceError("x"), QualityError("x")], 7),
        ([QualityError("x"), UsageError("x")], 2),
        ([UsageError("x"), CrmetricsError("x")], 1),
    ],
)
def test_the_most_urgent_code_of_all_jobs_wins(errors: list[CrmetricsError], code: int) -> None:
    assert run_code(JobRun(str(number), error=error) for number, error in enumerate(errors)) == code


def test_ctrl_c_ends_with_130_and_one_word(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "waits.py").write_text(
        dedent("""
            import signal
            import click
            from crmetrics.plugin import hookimpl

            @hookimpl
            def crmetrics_commands(cli):
                @cli.command("wait")
                def wait():
                    click.echo("ready")
                    signal.pause()
        """)
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "crmetrics", "-C", str(tmp_path), "wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.strip() == "Interrupted."


# --- sync ------------------------------------------------------------------------------------


def test_sync_counts_every_record(call: Call, project: Path) -> None:
    deals = project / "data" / "opportunities.csv"
    deals.write_text(deals.read_text() + ",ann,2023-12-01T09:00:00Z,2024-01-02,true,true,5\n")
    result = call("-C", project, "sync", "--json")
    assert result.exit_code == 0, result.stderr
    loaded = {entry["dataset"]: entry for entry in summary(result)["datasets"]}
    assert (loaded["opportunities"]["fetched"], loaded["opportunities"]["rejected"]) == (9, 1)
    assert loaded["users"]["rows"] == 2


def test_sync_reads_only_the_sources_named(call: Call, project: Path) -> None:
    result = call("-C", project, "sync", "crm_")
    assert result.exit_code == 2
    assert "Did you mean 'crm'?" in result.stderr


def test_a_dataset_that_fails_does_not_stop_the_others(call: Call, project: Path) -> None:
    (project / "data" / "opportunities.csv").write_text("id,close_date\n1,not a day\n")
    result = call("-C", project, "sync")
    assert result.exit_code == 3
    rows = [line.split() for line in result.stdout.splitlines()[2:]]
    assert {(row[1], row[-1]) for row in rows} == {("opportunities", "failed"), ("users", "ok")}
    assert result.stderr.count("was not read") == 1


# --- plan ------------------------------------------------------------------------------------


def test_plan_shows_what_is_read_and_what_is_out_of_reach(call: Call, project: Path) -> None:
    result = call("-C", project, "plan", "--json")
    document = summary(result)
    assert {read["dataset"] for read in document["reads"]} >= {"opportunities"}
    assert "quota_attainment" in {gap["kpi"] for gap in document["out_of_reach"]}


def test_plan_of_a_job_holds_only_its_kpis(call: Call, project: Path) -> None:
    result = call("-C", project, "plan", "monthly")
    assert result.exit_code == 0, result.stderr
    assert "2 KPIs asked for, 0 out of reach." in result.stdout


# --- check -----------------------------------------------------------------------------------


def test_check_of_a_sound_project_exits_with_0(call: Call, project: Path) -> None:
    result = call("-C", project, "check")
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "source crm\n" in result.stdout
    assert "0 errors" in result.stdout


def test_check_reports_an_unknown_kpi_of_a_job_with_its_place(call: Call, project: Path) -> None:
    edit(project, "kpis: [win_rate, won_amount]", "kpis: [win_rate, won_amoun]")
    result = call("-C", project, "check")
    assert result.exit_code == 2
    assert "crmetrics.yaml:20:" in result.stdout
    assert "won_amount" in result.stdout


def test_check_reports_a_source_that_cannot_be_read(call: Call, project: Path) -> None:
    edit(project, "path: data", "path: nowhere")
    result = call("-C", project, "check", "--json")
    assert result.exit_code == 3
    errors = [entry for entry in json.loads(result.stdout) if entry["state"] == "error"]
    assert errors
    assert all(entry["subject"].startswith("source crm") for entry in errors)


def test_check_reports_a_sink_that_cannot_be_opened_and_looks_at_the_others(
    call: Call, project: Path
) -> None:
    add_bad_sink(project)
    result = call("-C", project, "check", "--json")
    assert result.exit_code == 2
    about = {one["subject"]: one for one in json.loads(result.stdout) if "sink" in one["subject"]}
    assert about["sink odd"]["state"] == "error"
    assert "could not be opened: ValueError: a bug" in about["sink odd"]["message"]
    assert any("reports" in subject for subject in about)


@pytest.mark.parametrize("end", ["SystemExit(0)", "ValueError('a bug')"])
def test_check_goes_on_when_the_check_of_a_plugin_ends(call: Call, project: Path, end: str) -> None:
    (project / "plugins").mkdir()
    (project / "plugins" / "bad.py").write_text(
        dedent(f"""
            from crmetrics.plugin import Connector, Sink, Supply, hookimpl

            class BadConnector(Connector):
                name = "bad"
                is_local = True
                def datasets(self): return [Supply("leads", ("id",))]
                def read(self, request): return iter(())
                def check(self): raise {end}

            class BadSink(Sink):
                name = "bad"
                def destination(self, delivery): return "x"
                def preview(self, delivery): return "x"
                def write(self, delivery): raise AssertionError
                def check(self): raise {end}

            @hookimpl
            def crmetrics_connectors():
                return [BadConnector]

            @hookimpl
            def crmetrics_sinks():
                return [BadSink]
        """)
    )
    edit(project, "sources:\n", "sources:\n  odd: {connector: bad}\n")
    edit(project, "sinks:\n", "sinks:\n  odd: {sink: bad}\n")
    result = call("-C", project, "check", "--json")
    assert result.exit_code == 2
    about = {one["subject"]: one["state"] for one in json.loads(result.stdout)}
    assert (about["source odd"], about["sink odd"]) == ("error", "error")
    assert any("reports" in subject for subject in about)


@pytest.mark.parametrize(
    ("failed", "code"),
    [([], 0), (["source a: x"], 3), (["source a", "sink b"], 2), (["KPI win_rate"], 2)],
)
def test_only_sources_give_3(failed: list[str], code: int) -> None:
    results = [CheckResult("jobs", "ok", "fine"), CheckResult("source b", "warning", "old")]
    assert check_code([*results, *(CheckResult(name, "error", "x") for name in failed)]) == code


# --- deliveries ------------------------------------------------------------------------------


def test_deliveries_say_what_went_where_and_when(call: Call, project: Path) -> None:
    empty = call("-C", project, "deliveries", "--format", "json")
    assert (empty.exit_code, json.loads(empty.stdout)) == (0, [])
    run(call, project, "monthly")
    [row] = json.loads(call("-C", project, "deliveries", "--format", "json").stdout)
    assert (row["sink"], row["status"], row["destination"]) == ("reports", "delivered", REPORT)
    assert (row["period_start"], row["period_end"]) == ("2024-01-01", "2024-02-01")
    assert row["reference"].startswith("sha256:")
    shown = call("-C", project, "deliveries", "--sink", "reports").stdout
    assert "2024-01" in shown


@pytest.mark.parametrize("option", ["--job", "--sink"])
def test_deliveries_of_what_does_not_exist_are_an_error(
    call: Call, project: Path, option: str
) -> None:
    wrong = "monthli" if option == "--job" else "report"
    for _ in ("before a run", "after it"):
        result = call("-C", project, "deliveries", option, wrong)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"there is no {option[2:]} '{wrong}' in crmetrics.yaml" in result.stderr
        assert "Did you mean" in result.stderr
        run(call, project, "monthly")


def test_deliveries_of_a_job_and_a_sink_that_were_renamed_stay_to_be_seen(
    call: Call, project: Path
) -> None:
    run(call, project, "monthly")
    edit(project, "  reports:", "  archive:")
    edit(project, "sinks: [reports]", "sinks: [archive]")
    edit(project, "  monthly:", "  each_month:")
    for option, name in (("--job", "monthly"), ("--sink", "reports")):
        result = call("-C", project, "deliveries", option, name, "--format", "json")
        assert (result.exit_code, len(json.loads(result.stdout))) == (0, 1)
    nothing = call("-C", project, "deliveries", "--job", "each_month", "--sink", "archive")
    assert nothing.exit_code == 0
    assert "Nothing was sent yet by job each_month to sink archive" in nothing.stderr


def test_a_job_that_is_kept_back_ends_with_7_and_says_why(call: Call, project: Path) -> None:
    run(call, project, "monthly")
    edit(project, "sinks: [reports]}", "sinks: [reports], block_on: [partial]}")
    (project / "data" / "opportunities.csv").unlink()
    result = run(call, project, "monthly")
    assert result.exit_code == 7
    assert "blocked    reports" in result.stdout
    assert "kept back by the quality gate: not read: crm.opportunities" in result.stdout


def test_resend_delivers_again(call: Call, project: Path) -> None:
    run(call, project, "monthly")
    assert run(call, project, "monthly", "--resend").exit_code == 0
    found = json.loads(call("-C", project, "deliveries", "--format", "json").stdout)
    assert [row["status"] for row in found] == ["delivered", "delivered"]
