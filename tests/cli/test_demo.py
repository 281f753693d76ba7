"""`crmetrics demo` from an empty folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Start = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_the_demo_goes_the_whole_way_and_can_be_repeated(start: Start, tmp_path: Path) -> None:
    first = start("demo")
    assert first.returncode == 0, first.stderr
    assert "Win rate" in first.stdout
    assert "The chat message, not sent:" in first.stdout
    report = tmp_path / "crmetrics-demo" / "reports" / "monthly_sales_2025-12.html"
    assert str(report.relative_to(tmp_path)) in first.stdout
    assert report.is_file()
    again = start("demo", "--quiet")
    assert (again.returncode, again.stderr) == (0, "")
    assert _without_instants(again.stdout) == _without_instants(first.stdout)


def _without_instants(text: str) -> list[str]:
    """The lines but those of the footer, which names the run."""
    return [line for line in text.splitlines() if "Run " not in line and "Data as of" not in line]


def test_a_folder_with_other_files_is_left_alone(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    done = start("demo", "mine")
    assert done.returncode == 2
    assert "nothing was written" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
