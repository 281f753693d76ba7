"""Delimiters, quotes, headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(project: Project, delimiter: str) -> None:
    rows = ["id,status,segment", "1,new,smb", '2,"a, b; c | d\te",', "3,,"]
    text = "\n".join(rows[:2] + rows[3:]).replace(",", delimiter)
    quoted = f'\n2{delimiter}"a, b; c | d\te"{delimiter}x\n'
    project.write("leads.csv", text + quoted)
    loaded = project.read("leads", columns=["status", "segment"])
    assert loaded.column("status") == ["new", None, "a, b; c | d\te"]


def test_decimal_commas_do_not_mislead(project: Project) -> None:
    project.write("expenses.csv", "category;amount\novh;1,5\novh;2,5\novh;10,25\n")
    loaded = project.read("expenses", columns=["amount"], decimal=",")
    assert [str(value) for value in loaded.column("amount")] == ["1.5000", "2.5000", "10.2500"]


def test_a_few_ragged_lines_do_not_hide_the_delimiter(project: Project) -> None:
    project.write("leads.csv", "id,status\n1,new\n2,a,b\n3,old\n4,old\n")
    loaded = project.read("leads", columns=["status"])
    assert loaded.column("id") == ["1", "3", "4"]
    assert loaded.rejected == [("leads.csv:3", "2,a,b")]


@pytest.mark.parametrize(
    "text",
    ["id;x,status\n", "a;b,c;d\n1;2,3;4\n", "id,a;b\n1;2;3\n4;5;6;7\n"],
)
def test_an_uncertain_delimiter_is_an_error(project: Project, text: str) -> None:
    project.write("leads.csv", text)
    assert "the delimiter is not certain" in project.error("leads")


def test_the_option_settles_an_uncertain_delimiter(project: Project) -> None:
    project.write("leads.csv", "id;x,status\n1;2,new\n")
    loaded = project.read("leads", columns=["status"], delimiter="comma")
    assert loaded.rows == [{"id": "leads:1", "status": "new"}]


def test_a_single_column_needs_no_delimiter(project: Project) -> None:
    project.write("leads.csv", "id\n1\n2\n")
    assert project.read("leads", columns=[]).column("id") == ["1", "2"]


def test_a_tsv_file_is_cut_at_tabs_whatever_else_it_holds(project: Project) -> None:
    project.write("leads.tsv", "id\tstatus\n1\ta,b\n2\tc,d\n")
    assert project.read("leads", columns=["status"]).column("status") == ["a,b", "c,d"]


def test_excels_own_delimiter_line_is_understood(project: Project) -> None:
    project.write("leads.csv", "sep=;\r\nid;status\r\n1;new\r\n2\r\n")
    loaded = project.read("leads", columns=["status"])
    assert loaded.column("status") == ["new"]
    assert loaded.rejected == [("leads.csv:4", "2")]


def test_quotes_are_undone(project: Project) -> None:
    project.write("leads.csv", 'id,status\n1,"say ""hi"", ok"\n2,""\n3,5" pipe\n4,"x"y\n')
    values = project.read("leads", columns=["status"]).column("status")
    assert values == ['say "hi", ok', None, '5" pipe', "xy"]


def test_another_quote_and_an_escape_can_be_set(project: Project) -> None:
    project.write("leads.csv", "id,status\n1,'a,b'\n2,c\\,d\n")
    values = project.read("leads", columns=["status"], quote="'", escape="\\").column("status")
    assert values == ["a,b", "c,d"]


def test_quotes_can_be_plain_text(project: Project) -> None:
    project.write("leads.csv", 'id,status\n1,"a\n2,b"\n')
    values = project.read("leads", columns=["status"], quote="").column("status")
    assert values == ['"a', 'b"']


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_understood(project: Project, end: str) -> None:
    lines = ["id,status", "1,new", '2,"two', 'lines"', "3", "", "4,old"]
    project.write("leads.csv", end.join(lines))
    loaded = project.read("leads", columns=["status"])
    assert loaded.column("status") == ["new", f"two{end}lines", "old"]
    assert loaded.rejected == [("leads.csv:5", "3")]


def test_lines_above_the_header_can_be_skipped(project: Project) -> None:
    project.write("leads.csv", 'Report,"of\n\n\nid,status\n1,new\n2\n')
    loaded = project.read("leads", columns=["status"], skip_rows=1)
    assert loaded.column("status") == ["new"]
    assert loaded.rejected == [("leads.csv:6", "2")]


def test_a_header_may_span_lines_and_is_trimmed(project: Project) -> None:
    project.write("leads.csv", '" id ","close\nreason", status \n1,x,new\n2,x\n')
    loaded = project.read("leads", columns=["status"])
    assert loaded.column("status") == ["new"]
    assert loaded.rejected == [("leads.csv:4", "2,x")]


def test_a_header_that_never_closes_its_quote_is_an_error(project: Project) -> None:
    project.write("leads.csv", 'id,"status\n1,new\n2,old\n')
    assert "leads.csv:1: a quoted name of the header never ends" in project.error("leads")


@pytest.mark.parametrize("text", ["id,status\n", "id,status", "\ufeffid,status\r\n"])
def test_a_header_alone_gives_no_rows_and_a_notice(project: Project, text: str) -> None:
    project.write("leads.csv", text)
    loaded = project.read("leads")
    assert loaded.rows == []
    assert "leads.csv has a header and no records" in loaded.notices
    assert loaded.request.parts == ["leads.csv"]


def test_a_missing_end_of_line_loses_nothing(project: Project) -> None:
    project.write("leads.csv", "id,status\n1,new\n2,old")
    assert project.read("leads", columns=[]).column("id") == ["1", "2"]


def test_a_header_with_thousands_of_fields_is_fine(project: Project) -> None:
    names = ["id", *(f"field_{number}" for number in range(3000)), "status"]
    record = ["1", *("x" * 20 for _ in range(3000)), "new"]
    project.write("leads.csv", ",".join(names) + "\n" + (",".join(record) + "\n") * 30)
    assert project.read("leads", columns=["status"]).column("status") == ["new"] * 30
