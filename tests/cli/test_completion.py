"""Shell completion."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from click.testing import Result

Start = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("shell", "word"),
    [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --no-files")],
)
def test_each_shell_gets_its_script(call: Callable[..., Result], shell: str, word: str) -> None:
    result = call("completion", shell)
    assert result.exit_code == 0
    assert word in result.stdout
    assert "_CRMETRICS_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("crmetrics qu", {"query"}),
        ("crmetrics list da", {"datasets"}),
        ("crmetrics query --gr", {"--grain"}),
        ("crmetrics query x --grain q", {"quarter"}),
        ("crmetrics --quiet hi", {"history"}),
        ("crmetrics nothing x", set()),
    ],
)
def test_words_are_completed(words: str, offered: set[str], start: Start) -> None:
    count = len(words.split(" ")) - 1
    done = start(_CRMETRICS_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(count))
    assert {line.partition(",")[2] for line in done.stdout.split()} == offered
    assert done.stderr == ""
