"""A sync can be recorded, and played again where there is no network."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmetrics.cli import main
from crmetrics.engine import Project
from crmetrics.errors import ExitCode
from crmetrics.warehouse import open_for_load
from simulators.salesforce import SalesforceSimulator


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


def test_record_and_replay_exclude_each_other(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p", "http://127.0.0.1:1", "some-secret-value")
    tape = tmp_path / "tape"
    tape.mkdir()
    options = ["--record", tmp_path / "new", "--replay", tape]
    assert ended("-C", folder, "sync", *options) == ExitCode.USAGE
