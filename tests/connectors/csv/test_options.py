"""What the project file may say about a file source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from crmetrics.plugin import ConfigError
from crmetrics_csv.options import CsvOptions

if TYPE_CHECKING:
    from connectors.csv.conftest import Project


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"delimiter": ";;"}, "one ASCII character"),
        ({"delimiter": "\n"}, "one ASCII character"),
        ({"quote": "ab"}, "one ASCII character"),
        ({"delimiter": "'", "quote": "'"}, "cannot both be"),
        ({"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
        ({"decimal": ",", "thousands": ","}, "cannot both be"),
        ({"decimal": ";"}, "decimal"),
        ({"date_format": "dd/mm/yyyy"}, "no strptime format"),
        ({"timezone": "Mars/Base"}, "no IANA time zone"),
        ({"skip_rows": -1}, "skip_rows"),
        ({"delimeter": ","}, "delimeter"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], complaint: str) -> None:
    for place in (options, {"datasets": {"accounts": options}}):
        with pytest.raises(ValidationError, match=complaint):
            CsvOptions(**place)


@pytest.mark.parametrize("written", ["tab", "\\t", "\t"])
def test_a_tab_can_be_written_in_several_ways(written: str) -> None:
    assert CsvOptions(delimiter=written).delimiter == "\t"


def test_numbers_are_fine_as_null_values() -> None:
    assert CsvOptions(null_values=["-", -1, 0]).null_values == ("-", "-1", "0")


def test_an_option_of_the_dataset_wins_over_that_of_the_source(project: Project) -> None:
    project.write("opportunities.csv", "id|amount\n1|2,5\n")
    loaded = project.read(
        "opportunities",
        columns=["amount"],
        path=".",
        delimiter=";",
        decimal=",",
        datasets={"opportunities": {"delimiter": "|"}},
    )
    assert [str(value) for value in loaded.column("amount")] == ["2.5000"]


def test_marks_that_clash_between_source_and_dataset_are_refused(project: Project) -> None:
    project.write("opportunities.csv", "id,amount\n1,2\n")
    with pytest.raises(ConfigError, match="decimal and thousands"):
        project.read(
            "opportunities",
            path=".",
            decimal=".",
            datasets={"opportunities": {"thousands": "."}},
        )


def test_a_point_for_thousands_makes_the_comma_the_decimal_mark(project: Project) -> None:
    values = project.column(
        "opportunities", "amount", "id;amount\n1;1.234.567,89\n2;3\n", thousands="."
    )
    assert [str(value) for value in values] == ["1234567.8900", "3.0000"]
