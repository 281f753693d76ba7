"""Ragged rows are set aside with their line, and nothing is swallowed."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project


def test_rows_with_too_many_or_too_few_fields_are_set_aside(project: Project) -> None:
    project.write("leads.csv", "id,status\n1,new\n2\n3,a,b\n4,old\n")
    loaded = project.read("leads", columns=["status"])
    assert loaded.column("id") == ["1", "4"]
    assert loaded.rejected == [("leads.csv:3", "2"), ("leads.csv:4", "3,a,b")]
    assert [entry.reason for entry in loaded.request.rejected] == [
        "expected 2 fields as in the header, found 1",
        "expected 2 fields as in the header, found 3",
    ]


def test_lines_are_counted_over_quoted_line_ends_and_blank_lines(project: Project) -> None:
    project.write(
        "leads.csv",
        'id,status\n1,"two\nlines"\n\n\n2\n3,"a\n\n""b""\nc"\n4,x,y\n5,ok\n6,"x\ny",z\n',
    )
    loaded = project.read("leads", columns=["status"])
    assert loaded.column("status") == ["two\nlines", 'a\n\n"b"\nc', "ok"]
    assert [place for place, _ in loaded.rejected] == [
        "leads.csv:6",
        "leads.csv:11",
        "leads.csv:13",
    ]


def test_a_finding_names_the_physical_line(project: Project) -> None:
    project.write("opportunities.csv", 'id,stage,amount\n1,"a\nb",1\n2,x\n\n3,"c\nd",oops\n')
    assert project.error("opportunities").startswith("opportunities.csv:6: column 'amount'")


def test_a_long_record_is_clipped_when_set_aside(project: Project) -> None:
    project.write("leads.csv", "id,status\n1,new\n" + "x" * 5000 + "\n")
    assert [len(record) for _, record in project.read("leads").rejected] == [200]


def test_a_ragged_row_is_told_once_though_the_file_is_parsed_again(project: Project) -> None:
    rows = [f"{n},1\n" for n in range(200_000)]
    rows[5] = "5\n"
    rows[150_000] = "150000,N/A\n"
    rows[150_001] = "150001,1,2\n"
    project.write("opportunities.csv", "id,amount\n" + "".join(rows))
    loaded = project.read("opportunities", columns=["amount"])
    assert loaded.rejected == [
        ("opportunities.csv:7", "5"),
        ("opportunities.csv:150003", "150001,1,2"),
    ]
    kept = [n for n in range(200_000) if n not in (5, 150_001)]
    assert loaded.column("id") == [str(n) for n in kept]
    assert loaded.column("amount").count(None) == 1


def test_many_ragged_rows_in_a_row_are_all_told(project: Project) -> None:
    project.write("expenses.csv", "amount\n1\n" + "a,b\n" * 400_000 + "2\n")
    loaded = project.read("expenses", columns=["amount"])
    assert loaded.column("id") == ["expenses:1", "expenses:400002"]
    assert loaded.request.intake.rejected == 400_000
    assert loaded.request.rejected[-1].place == "expenses.csv:100002"


def test_a_file_in_which_no_row_fits_is_an_error(project: Project) -> None:
    project.write("leads.csv", "id,status\n1;new\n2;old\n")
    message = project.error("leads", delimiter=",")
    assert message.startswith("leads.csv:2: expected 2 fields as in the header, found 1")
    assert "delimiter:" in message


def test_a_large_file_in_which_no_row_fits_is_an_error(project: Project) -> None:
    project.write("leads.csv", "id,status\n" + f"1;{'x' * 300}\n" * 250_000)
    message = project.error("leads", delimiter=",")
    assert "hardly a line has the 2 fields of the header" in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('id,status\n1,new\n2,"old\n3,x\n4,y\n', 3),
        ('id,status\n1,new\n"2,old\n3,x\n4,y', 3),
        ('id,status,note\n1,new,\n\n2,"a\nb",c\n3,old,"\n4,x\n5,y,z\n', 6),
        ('id,status\n1,"', 2),
    ],
)
def test_a_quote_that_never_closes_swallows_nothing(project: Project, text: str, line: int) -> None:
    project.write("leads.csv", text)
    message = project.error("leads")
    assert message.startswith(f"leads.csv:{line}: a quoted field")
    assert "never ends" in message
    assert "quote: ''" in message


def test_a_quote_that_never_closes_in_a_large_file_is_an_error(project: Project) -> None:
    rows = "".join(f"{number},some text to fill the lines\n" for number in range(100_000))
    project.write("leads.csv", "id,status\n1,new\n" + '2,"old\n' + rows)
    assert "leads.csv:3: a quoted field" in project.error("leads")


def test_a_record_longer_than_a_block_is_read(project: Project) -> None:
    long = "x" * 3_000_000
    project.write("leads.csv", f'id,status\n1,new\n2,"{long}"\n3\n4,old\n')
    loaded = project.read("leads", columns=["status"])
    assert [len(value) for value in loaded.column("status")] == [3, 3_000_000, 3]
    assert loaded.rejected == [("leads.csv:4", "3")]


def _random_field(rng: random.Random) -> str:
    return "".join(rng.choice('ab"\n\r,; \t') for _ in range(rng.randrange(6)))


def _written(rng: random.Random, value: str) -> str:
    if any(character in value for character in '"\n\r,') or rng.random() < 0.2:
        value = '"' + value.replace('"', '""') + '"'
    return value


@pytest.mark.parametrize("seed", range(12))
def test_any_quoting_is_read_as_it_was_written(project: Project, seed: int) -> None:
    """Random fields with quotes, delimiters and line ends; some rows are ragged."""
    rng = random.Random(seed)
    end = rng.choice(["\n", "\r\n", "\r"])
    text = f"id,status,segment{end}"
    kept, odd_lines = [], []
    for number in range(400):
        row = [str(number), _random_field(rng), _random_field(rng)]
        if rng.random() < 0.1:
            begins = len(re.split("\r\n|\r|\n", text))
            odd_lines.append(f"leads.csv:{begins}")
            row = rng.choice([row[:2], [*row, "more"]])
        else:
            kept.append(tuple(value or None for value in row))
        text += ",".join(_written(rng, value) for value in row) + end
        text += end * (rng.random() < 0.05)
    project.write("leads.csv", text)
    loaded = project.read("leads", columns=["status", "segment"], delimiter=",")
    assert [(row["id"], row["status"], row["segment"]) for row in loaded.rows] == kept
    assert [place for place, _ in loaded.rejected] == odd_lines
