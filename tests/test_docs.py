"""The documentation fails the build when it lies."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from crmetrics.config.sections import JobSection
from crmetrics.plugin import __all__ as plugin_api

REPO = Path(__file__).resolve().parent.parent
PAGES: Mapping[str, Callable[[], str]] = runpy.run_path(str(REPO / "docs" / "generate.py"))["PAGES"]
WRITTEN = sorted(
    path
    for path in [*REPO.glob("*.md"), *(REPO / "docs").glob("*.md")]
    if path.name not in PAGES and path.name != "CHANGELOG.md"
)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    written = (REPO / "docs" / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "out of date: run `make docs`"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    broken = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_pages_name_only_commands_that_exist(page: Path) -> None:
    from crmetrics.cli.app import COMMANDS

    known = {command[0] for command in COMMANDS} if not isinstance(COMMANDS, Mapping) else COMMANDS
    named = set(re.findall(r"(?:^|`|\$ )crmetrics ([a-z]+)\b", page.read_text("utf-8"), re.M))
    assert named <= {*known}, sorted(named - {*known})


def test_the_integrator_page_shows_everything_a_plugin_may_import() -> None:
    page = (REPO / "docs" / "integrator.md").read_text("utf-8")
    missing = [name for name in plugin_api if f"`{name}`" not in page]
    assert not missing


def test_the_operator_page_names_every_key_of_a_job() -> None:
    page = (REPO / "docs" / "operator.md").read_text("utf-8")
    missing = [name for name in JobSection.model_fields if f"`{name}`" not in page]
    assert not missing
