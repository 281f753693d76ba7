"""What sources answer can be recorded, and played again where there is no network."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from crmetrics.cli import main
from crmetrics.engine import Project
from crmetrics.errors import ExitCode
from crmetrics.warehouse import open_for_load
from simulators.salesforce import SalesforceSimulator
from simulators.slack import TOKEN, SlackSimulator


def write_project(folder: Path, base_url: str, secret: str) -> Path:
    folder.mkdir()
    (folder / "crmetrics.yaml").write_text(
        "version: 1\nproject: p\nsources:\n  crm:\n    connector: salesforce\n"
        f"    base_url: {base_url}\n    transport: bulk\n    bulk_from: 2\n"
        "    auth: {flow: client_credentials, client_id: 3MVG9simulatedConsumerKey, "
        f"client_secret: {secret}}}\n"
    )
    return folder


def ended(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def rows(folder: Path) -> dict[str, int]:
    project = Project(folder)
    with open_for_load(project.engine_settings, project.registry.datasets) as session:
        return {name: held.rows for name, held in session.inventory().items() if held.rows}


def test_a_recorded_sync_is_played_without_the_service_and_without_its_secrets(
    tmp_path: Path,
) -> None:
    tape = tmp_path / "tape"
    with SalesforceSimulator() as salesforce:
        for number in range(5):
            salesforce.org.create("Account", Industry=f"i{number}")
        salesforce.org.create("Lead", Status="New")
        secret = salesforce.login.app.client_secret
        folder = write_project(tmp_path / "live", salesforce.base_url, secret)
        assert ended("-C", folder, "sync", "--record", tape) == ExitCode.OK
    again = write_project(tmp_path / "again", "https://acme.my.salesforce.com", "another-secret")
    assert ended("-C", again, "sync", "--replay", tape) == ExitCode.OK
    assert rows(again) == rows(folder)
    assert rows(again)["accounts"] == 5
    written = b"".join(file.read_bytes() for file in tape.iterdir())
    assert secret.encode() not in written
    assert b"simulatedSession" not in written


JOB = """metrics: {packs: [sales]}
sinks:
  team: {sink: slack, webhook_url: %s}
  reports: {sink: files, path: reports, formats: [csv]}
jobs:
  weekly: {grain: month, kpis: [win_rate], sinks: [team, reports]}
"""


def test_a_recorded_run_holds_what_sources_answered_and_nothing_of_its_sinks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = tmp_path / "tape"
    day = ["--date", "2026-01-31"]
    with SalesforceSimulator() as salesforce, SlackSimulator() as slack:
        salesforce.org.create("Opportunity", StageName="Won", IsClosed=True, IsWon=True,
                              CloseDate=date(2026, 1, 15), Amount=5)  # fmt: skip
        secret = salesforce.login.app.client_secret
        folder = write_project(tmp_path / "live", salesforce.base_url, secret)
        again = write_project(tmp_path / "again", "https://acme.my.salesforce.com", "another-one")
        for made in (folder, again):
            with (made / "crmetrics.yaml").open("a") as file:
                file.write(JOB % slack.webhook_url)
        assert ended("-C", folder, "run", *day, "--record", tape) == ExitCode.OK
        assert len(slack.posts) == 1
        written = b"".join(file.read_bytes() for file in tape.iterdir())
        assert b"FROM Opportunity" in written
        assert TOKEN.encode() not in written
        assert b"win_rate" not in written
        assert secret.encode() not in written
        assert ended("-C", again, "run", *day, "--replay", tape) == ExitCode.USAGE
        assert "--replay needs --dry-run" in capsys.readouterr().err
        assert ended("-C", again, "run", *day, "--replay", tape, "--dry-run") == ExitCode.OK
        assert len(slack.posts) == 1
    assert rows(again) == rows(folder)
    assert not (again / "reports").exists()


def test_a_recorded_check_is_played_without_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = tmp_path / "tape"
    with SalesforceSimulator() as salesforce:
        salesforce.org.create("Account")
        salesforce.org.hide("Case")
        secret = salesforce.login.app.client_secret
        folder = write_project(tmp_path / "live", salesforce.base_url, secret)
        assert ended("-C", folder, "check", "--record", tape) == ExitCode.OK
        shown = capsys.readouterr().out
    assert "about 1 rows" in shown
    again = write_project(tmp_path / "again", "https://acme.my.salesforce.com", "another-one")
    assert ended("-C", again, "check", "--replay", tape) == ExitCode.OK
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("command", ["sync", "check", "run"])
def test_record_and_replay_exclude_each_other(tmp_path: Path, command: str) -> None:
    folder = write_project(tmp_path / "p", "http://127.0.0.1:1", "some-secret-value")
    with (folder / "crmetrics.yaml").open("a") as file:
        file.write(JOB % "https://hooks.slack.com/services/T00000000/B00000000/some-other")
    tape = tmp_path / "tape"
    tape.mkdir()
    options = ["--record", tmp_path / "new", "--replay", tape]
    options += ["--dry-run"] if command == "run" else []
    assert ended("-C", folder, command, *options) == ExitCode.USAGE
