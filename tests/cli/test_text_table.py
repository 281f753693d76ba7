"""Tables for people."""

from __future__ import annotations

import contextlib
import io

import pytest

from crmetrics.cli.console import Console
from crmetrics.cli.text_table import Cell, Heading, TextTable, make_table, plain_text, show


class Terminal(io.StringIO):
    """Standard output as a person sees it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


def on_terminal(table: TextTable, console: Console) -> str:
    """What a person sees, colour codes included."""
    with contextlib.redirect_stdout(Terminal()) as terminal:
        show(table, console)
    return terminal.getvalue()


TABLE = TextTable(
    (Heading("Team"), Heading("Value", "right")),
    ((Cell("EMEA"), Cell("9.1 %", "good")), (Cell("[red]"), Cell("12.0 %", "bad"))),
    title="Win rate",
)


def test_plain_columns_are_aligned_and_lines_have_no_trailing_space() -> None:
    assert plain_text(TABLE) == (
        "Win rate\nTeam    Value\n-----  ------\nEMEA    9.1 %\n[red]  12.0 %"
    )


def test_a_table_without_rows_keeps_its_headings() -> None:
    assert plain_text(make_table(["A", "B"], [])) == "A  B\n-  -"


def test_wide_and_combining_letters_keep_the_columns_straight() -> None:
    text = plain_text(make_table(["Team", "n"], [["東京", "1"], ["Cafe\u0301", "2"], ["x", "3"]]))
    assert text.splitlines()[2:] == ["東京  1", "Cafe\u0301  2", "x     3"]


def test_line_breaks_and_terminal_codes_in_data_do_not_reach_the_terminal() -> None:
    text = plain_text(make_table(["A"], [["one\ntwo"], ["\x1b[31mred\x1b[0m"]]))
    assert text.splitlines()[2:] == ["one two", "\ufffd[31mred\ufffd[0m"]


def test_without_a_terminal_the_table_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    show(TABLE, Console())
    assert capsys.readouterr().out == plain_text(TABLE) + "\n"


def test_on_a_terminal_tones_are_colours() -> None:
    assert "\x1b[32m 9.1 %\x1b[0m" in on_terminal(TABLE, Console())


def test_a_name_in_brackets_is_data_and_no_markup() -> None:
    assert "[red]" in on_terminal(TABLE, Console())


@pytest.mark.parametrize("way", ["option", "variable"])
def test_no_color_leaves_no_colour_codes(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "variable":
        monkeypatch.setenv("NO_COLOR", "1")
    text = on_terminal(TABLE, Console(no_color=way == "option"))
    assert "9.1 %" in text
    assert "\x1b[3" not in text
