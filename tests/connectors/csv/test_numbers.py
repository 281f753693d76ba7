"""Numbers, money and booleans in text."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project


def read_one(project: Project, dataset: str, column: str, value: str, **options: Any) -> Any:
    text = value.replace('"', '""')
    return project.column(dataset, column, f'id;{column}\n1;"{text}"\n', **options)[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", "1.0000"),
        ("-2.5", "-2.5000"),
        ("+2.5", "2.5000"),
        (".5", "0.5000"),
        ("5.", "5.0000"),
        (" 7 ", "7.0000"),
        ("1e3", "1000.0000"),
        ("1E-3", "0.0010"),
        ("0.30000000000000004", "0.3000"),
        ("1.23455", "1.2346"),
        ("-1.23455", "-1.2346"),
        ("0.123456789012345678901234567", "0.1235"),
        ("99999999999999.9999", "99999999999999.9999"),
        ("00012", "12.0000"),
        ("", None),
        ("  ", None),
        ("NULL", None),
        ("null", None),
        ("NaN", None),
        ("N/A", None),
        ("#N/A", None),
    ],
)
def test_money_is_exact_to_four_decimals(project: Project, written: str, value: str | None) -> None:
    found = read_one(project, "opportunities", "amount", written)
    assert found == (None if value is None else Decimal(value))


@pytest.mark.parametrize("value", ["99999999999999.99999", "100000000000000", "1e20", "1" * 30])
def test_money_beyond_eighteen_digits_is_an_error(project: Project, value: str) -> None:
    project.write("opportunities.csv", f"id,amount\n1,5\n2,{value}\n")
    message = project.error("opportunities")
    assert f"opportunities.csv:3: column 'amount': expected an amount, found '{value}" in message
    assert "14 digits" in message


@pytest.mark.parametrize(
    ("value", "options", "number"),
    [
        ("1.234,56", {"decimal": ",", "thousands": "."}, "1234.56"),
        ("1.234.567", {"decimal": ",", "thousands": "."}, "1234567"),
        ("1234,5", {"decimal": ",", "thousands": "."}, "1234.5"),
        ("1,234.56", {"thousands": ","}, "1234.56"),
        ("1 234,56", {"decimal": ",", "thousands": " "}, "1234.56"),
        ("1\u202f234,56", {"decimal": ",", "thousands": " "}, "1234.56"),
        ("-1\u00a0234", {"thousands": " "}, "-1234"),
        ("1'234.50", {"thousands": "'"}, "1234.5"),
        ("1’234.50", {"thousands": "'"}, "1234.5"),
        ("\u2212" + "3,5", {"decimal": ","}, "-3.5"),
        ("3,5e2", {"decimal": ","}, "350"),
    ],
)
def test_marks_of_other_countries_are_read_when_set(
    project: Project, value: str, options: dict[str, str], number: str
) -> None:
    assert read_one(project, "opportunities", "amount", value, **options) == Decimal(number)
    assert read_one(project, "opportunities", "probability", value, **options) == float(number)


@pytest.mark.parametrize(
    ("value", "readings"),
    [
        ("1.234,56", ["1234.56 (decimal: ',', thousands: '.')"]),
        ("1,234.56", ["1234.56 (decimal: '.', thousands: ',')"]),
        ("1,234", ["1234 (decimal: '.', thousands: ',')", "1.234 (decimal: ',')"]),
        ("3,5", ["3.5 (decimal: ',')"]),
        ("1.234.567", ["1234567 (decimal: ',', thousands: '.')"]),
        ("1 234", ["1234 (decimal: ',', thousands: ' ')"]),
    ],
)
@pytest.mark.parametrize("column", ["amount", "probability"])
def test_other_marks_are_never_guessed(
    project: Project, value: str, readings: list[str], column: str
) -> None:
    project.write("opportunities.csv", f"id;{column}\n1;2.5\n2;{value}\n")
    message = project.error("opportunities")
    assert f"opportunities.csv:3: column '{column}'" in message
    for reading in readings:
        assert reading in message


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("1,23", {"thousands": ","}),
        ("12,34,567", {"thousands": ","}),
        ("1.234", {"decimal": ","}),
        ("1,2,3", {"decimal": ","}),
        ("1.5", {"decimal": ",", "thousands": "."}),
    ],
)
def test_marks_in_odd_places_are_an_error(
    project: Project, value: str, options: dict[str, str]
) -> None:
    project.write("opportunities.csv", f"id;amount\n1;{value}\n")
    assert "expected an amount" in project.error("opportunities", **options)


@pytest.mark.parametrize("value", ["abc", "$5", "5 EUR", "12%", "(5)", "1_000", "0x1F", "NA", "-"])
def test_what_is_no_number_is_an_error(project: Project, value: str) -> None:
    project.write("opportunities.csv", f"id,amount\n1,{value}\n")
    assert f"expected an amount, found '{value}'" in project.error("opportunities")


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e999"])
def test_infinity_is_no_number(project: Project, value: str) -> None:
    project.write("opportunities.csv", f"id,probability\n1,0.5\n2,{value}\n")
    message = project.error("opportunities")
    assert "opportunities.csv:3: column 'probability': expected a number" in message


def test_not_a_number_is_null(project: Project) -> None:
    values = project.column("opportunities", "probability", "id,probability\n1,nan\n2,0.5\n3,NaN\n")
    assert values == [None, 0.5, None]


@pytest.mark.parametrize(
    ("value", "number"), [("3", 3), ("-3", -3), ("+3", 3), ("3.0", 3), ("1e3", 1000)]
)
def test_whole_numbers_may_be_written_with_a_point(
    project: Project, value: str, number: int
) -> None:
    assert read_one(project, "products", "tier_rank", value) == number


@pytest.mark.parametrize("value", ["3.5", "1e30", "9223372036854775808", "x"])
def test_other_whole_numbers_are_errors(project: Project, value: str) -> None:
    project.write("products.csv", f"id,tier_rank\n1,{value}\n")
    assert "expected a whole number" in project.error("products")


@pytest.mark.parametrize("word", ["true", "TRUE", "tRuE", "t", "T", "yes", "Y", "1", " True "])
def test_words_for_true(project: Project, word: str) -> None:
    assert read_one(project, "opportunities", "is_won", word) is True


@pytest.mark.parametrize("word", ["false", "FALSE", "fAlse", "f", "F", "no", "N", "0"])
def test_words_for_false(project: Project, word: str) -> None:
    assert read_one(project, "opportunities", "is_won", word) is False


@pytest.mark.parametrize("word", ["on", "wahr", "2", "x"])
def test_other_words_are_no_booleans(project: Project, word: str) -> None:
    project.write("opportunities.csv", f"id,is_won\n1,{word}\n")
    assert f"expected true or false, found '{word}'" in project.error("opportunities")


def test_ids_stay_text(project: Project) -> None:
    values = ["17850.0", "007", "1e5", " 8", "0x1F", "NA", "NULL", "true", "2024-01-01"]
    project.write("accounts.csv", "id,owner_id\n" + "".join(f"{v},{v}\n" for v in values))
    loaded = project.read("accounts", columns=["owner_id"])
    assert loaded.column("id") == loaded.column("owner_id") == values


def test_namibia_is_no_null_unless_the_user_says_so(project: Project) -> None:
    project.write("accounts.csv", 'id,country,created_at\n1,NA,NA\n2,,2024-01-01\n3,"",-\n4,-,\n')
    assert "found 'NA'" in project.error("accounts")
    loaded = project.read("accounts", columns=["country", "created_at"], null_values=["-", "NA"])
    assert loaded.column("country") == [None, None, None, None]
    assert [value is None for value in loaded.column("created_at")] == [True, False, True, True]
    assert project.read("accounts", columns=["country"]).column("country") == [
        "NA",
        None,
        None,
        "-",
    ]


def test_up_to_ten_findings_are_reported_in_file_order(project: Project) -> None:
    rows = [f"{n},{'x' if n % 2 else 5},{'y' if n % 3 == 0 else ''}\n" for n in range(1, 100)]
    project.write("opportunities.csv", "id,amount,close_date\n" + "".join(rows))
    lines = project.error("opportunities").splitlines()
    assert len(lines) == 10
    assert lines[0].startswith(
        "opportunities.csv:2: column 'amount': expected an amount, found 'x'"
    )
    assert [int(line.split(":")[1]) for line in lines] == sorted(
        int(line.split(":")[1]) for line in lines
    )
    assert any("column 'close_date': expected a date, found 'y'" in line for line in lines)


def test_findings_far_apart_are_reported_together(project: Project) -> None:
    rows = [f"{n},5,2024-01-01\n" for n in range(200_000)]
    rows[10] = "10,x,2024-01-01\n"
    rows[199_990] = "199990,5,never\n"
    project.write("opportunities.csv", "id,amount,close_date\n" + "".join(rows))
    message = project.error("opportunities")
    assert "opportunities.csv:12: column 'amount'" in message
    assert "opportunities.csv:199992: column 'close_date'" in message


def test_no_row_follows_the_first_finding(project: Project) -> None:
    project.write("opportunities.csv", "id,amount\n1,x\n2,5\n")
    connector = project.connector()
    request = project.request(connector, "opportunities")
    given = []
    with pytest.raises(Exception, match="expected an amount"):
        given.extend(connector.read(request))
    assert given == []
    assert request.saved_state is None


def test_a_long_value_is_clipped_in_the_message(project: Project) -> None:
    project.write("opportunities.csv", f"id,amount\n1,{'x' * 500}\n")
    message = project.error("opportunities")
    assert "xxx...'" in message
    assert len(message) < 300


def test_values_that_change_their_form_far_down_are_all_read(project: Project) -> None:
    """What Arrow converts by itself and what it does not must give the same rows."""
    rows = []
    expected = []
    for number in range(150_000):
        is_late = number > 120_000
        amount = "NULL" if is_late and number % 2 else f"{number}.25"
        won = ("tRUE" if number % 2 else "0") if is_late else "true"
        when = "2024-01-02 3:04" if is_late else "2024-01-02 03:04"
        rows.append(f"{number},{amount},{won},{when}\n")
        expected.append((str(number), None if amount == "NULL" else Decimal(amount), won != "0"))
    project.write("opportunities.csv", "id,amount,is_won,created_at\n" + "".join(rows))
    loaded = project.read("opportunities", columns=["amount", "is_won", "created_at"])
    found = [(row["id"], row["amount"], row["is_won"]) for row in loaded.rows]
    assert found == expected
    assert {value.isoformat() for value in loaded.column("created_at")} == {
        "2024-01-02T03:04:00+00:00"
    }
