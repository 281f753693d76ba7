"""What connectors notice: `sync` shows it always, `run` when the sync before had not said it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import Result

from crmetrics.secrets import Secret

Call = Callable[..., Result]

PLUGIN = """
    from crmetrics.plugin import Connector, Supply, hookimpl

    class Telling(Connector):
        name = "telling"
        is_local = True

        def datasets(self):
            return [Supply("leads", ("id",))]

        def read(self, request):
            told = self.context.project_dir / "told"
            for line in told.read_text().splitlines():
                request.notice(line)
            return iter(())

    @hookimpl
    def crmetrics_connectors():
        return [Telling]
"""


@pytest.fixture
def tell(project: Path) -> Callable[..., None]:
    """The source `odd` tells these notices from now on."""
    file = project / "crmetrics.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("sources:", "sources:\n  odd: {connector: telling}", 1), "utf-8")
    (project / "plugins").mkdir()
    (project / "plugins" / "telling.py").write_text(dedent(PLUGIN))

    def told(*notices: str) -> None:
        (project / "told").write_text("".join(f"{text}\n" for text in notices))

    return told


def warnings(result: Result) -> list[str]:
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    told = [line["message"] for line in lines if line["level"] == "warning"]
    return [text.removeprefix("odd.leads: ") for text in told if text.startswith("odd.leads: ")]


def test_a_run_tells_what_its_sources_noticed_and_repeats_nothing(
    call: Call, project: Path, tell: Callable[..., None]
) -> None:
    def run() -> list[str]:
        options = ("--log-format", "json", "run", "monthly", "--date", "2024-01-31")
        result = call("-C", project, *options)
        assert result.exit_code == 0, result.stderr
        return warnings(result)

    tell("rights are lacking.", "values of F are up to 5 h old.")
    assert run() == ["rights are lacking.", "values of F are up to 5 h old."]
    assert run() == []
    tell("rights are lacking.", "values of F are up to 20 min old.", "20 of 90 have left.")
    assert run() == ["20 of 90 have left."]
    tell("30 of 90 have left.")
    assert run() == ["30 of 90 have left."]
    tell()
    assert run() == []
    tell("rights are lacking.")
    assert run() == ["rights are lacking."]
    synced = call("-C", project, "--log-format", "json", "sync", "odd")
    assert warnings(synced) == ["rights are lacking."]


def test_a_run_on_a_terminal_tells_it_too(
    call: Call, project: Path, tell: Callable[..., None]
) -> None:
    tell("rights are lacking.")
    result = call("-C", project, "--quiet", "run", "monthly", "--date", "2024-01-31")
    assert "odd.leads: rights are lacking." in result.stderr
    assert "lacking" not in result.stdout


def test_a_secret_in_a_notice_is_masked_and_no_news_the_next_time(
    call: Call, project: Path, tell: Callable[..., None]
) -> None:
    value = Secret("abcdefghijklmnop").reveal()
    tell(f"the header is Bearer {value}.")
    options = ("--log-format", "json", "run", "monthly", "--date", "2024-01-31")
    result = call("-C", project, *options)
    assert warnings(result) == ["the header is Bearer ********."]
    assert value not in result.output
    assert warnings(call("-C", project, *options)) == []
