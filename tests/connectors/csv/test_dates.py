"""Dates and timestamps in text: read only when their meaning is certain."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from connectors.csv.conftest import Project


def dates(project: Project, *values: str, **options: Any) -> list[date | None]:
    text = "id;close_date\n" + "".join(f"{i};{value}\n" for i, value in enumerate(values))
    return project.column("opportunities", "close_date", text, **options)


def instants(project: Project, *values: str, **options: Any) -> list[str | None]:
    """The timestamps in UTC, written down to the second."""
    text = "id;created_at\n" + "".join(f"{i};{value}\n" for i, value in enumerate(values))
    found = project.column("opportunities", "created_at", text, **options)
    return [value and value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") for value in found]


def date_error(project: Project, *values: str, column: str = "close_date", **options: Any) -> str:
    rows = "".join(f"{i};{value}\n" for i, value in enumerate(values))
    project.write("opportunities.csv", f"id;{column}\n{rows}")
    return project.error("opportunities", **options)


# --- dates that say what they mean ---------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "2024-03-01",
        " 2024-03-01 ",
        "2024-3-1",
        "2024/03/01",
        "2024.3.1",
        "20240301",
        "2024-03-01 00:00:00",
        "2024-03-01T23:59:59.999",
        "2024-03-01 9:05 PM",
    ],
)
def test_a_year_in_front_is_certain(project: Project, value: str) -> None:
    assert dates(project, value, "") == [date(2024, 3, 1), None]


@pytest.mark.parametrize("token", ["", " ", "NULL", "null", "NaN", "N/A", "#N/A"])
def test_null_texts_are_null(project: Project, token: str) -> None:
    assert dates(project, token, "2024-03-01") == [None, date(2024, 3, 1)]
    assert instants(project, token, "2024-03-01 05:06") == [None, "2024-03-01 05:06:00"]


@pytest.mark.parametrize(
    "value",
    ["2024-02-30", "2024-13-01", "0000-00-00", "2023-02-29", "2024-00-10", "9999", "soon", "1 May"],
)
def test_days_that_do_not_exist_are_errors(project: Project, value: str) -> None:
    message = date_error(project, "2024-03-01", value)
    assert f"opportunities.csv:3: column 'close_date': expected a date, found '{value}'" in message


@pytest.mark.parametrize(("serial", "day"), [("42663", "2016-10-20"), ("45292.5", "2024-01-01")])
@pytest.mark.parametrize("column", ["close_date", "created_at"])
def test_excel_serial_numbers_are_errors_that_show_the_day(
    project: Project, serial: str, day: str, column: str
) -> None:
    message = date_error(project, serial, column=column)
    assert f"looks like an Excel serial number (then {day})" in message
    assert "date '1899-12-30'" in message


@pytest.mark.parametrize("value", ["1709251200", "1709251200000"])
def test_seconds_since_1970_are_errors_with_the_way_out(project: Project, value: str) -> None:
    assert "to_timestamp(" in date_error(project, value, column="created_at")


# --- the order of day and month ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["10/20/2016", "3/1/2017"], [date(2016, 10, 20), date(2017, 3, 1)]),
        (["3/1/2017", "10/20/2016"], [date(2017, 3, 1), date(2016, 10, 20)]),
        (["20/10/2016", "3/1/2017"], [date(2016, 10, 20), date(2017, 1, 3)]),
        (["03.01.2017", "20.10.2016"], [date(2017, 1, 3), date(2016, 10, 20)]),
        (["03-01-2017", "10-20-2016"], [date(2017, 3, 1), date(2016, 10, 20)]),
        (["3/1/2017 0:00", "10/20/2016 13:45"], [date(2017, 3, 1), date(2016, 10, 20)]),
        (["2017-01-02", "3/4/2017", "13/4/2017"],
         [date(2017, 1, 2), date(2017, 4, 3), date(2017, 4, 13)]),
        # Two digits of the year: 31 is no month, 99 is no day.
        (["3/1/17", "10/31/99"], [date(2017, 3, 1), date(1999, 10, 31)]),
        (["31-12-99", "01-02-03"], [date(1999, 12, 31), date(2003, 2, 1)]),
        (["99-12-31", "01-02-03"], [date(1999, 12, 31), date(2001, 2, 3)]),
        # Day and month are the same: every order means the same day.
        (["01/01/2017", "02/02/2017"], [date(2017, 1, 1), date(2017, 2, 2)]),
    ],
)  # fmt: skip
def test_an_order_that_the_values_prove_is_used(
    project: Project, values: list[str], expected: list[date]
) -> None:
    assert dates(project, *values) == expected


@pytest.mark.parametrize(
    ("values", "readings", "formats"),
    [
        (
            ["03/04/2017", "01/02/2017"],
            ["2017-04-03 (day first)", "2017-03-04 (month first)"],
            ["'%d/%m/%Y'", "'%m/%d/%Y'"],
        ),
        (
            ["2017-01-31", "03.04.2017"],
            ["2017-04-03 (day first)", "2017-03-04 (month first)"],
            ["'%d.%m.%Y'", "'%m.%d.%Y'"],
        ),
        (
            ["20-10-16"],
            ["2016-10-20 (day first)", "2020-10-16 (year first)"],
            ["'%d-%m-%y'", "'%y-%m-%d'"],
        ),
        (
            ["10-10-16"],
            ["2016-10-10 (day first)", "2010-10-16 (year first)"],
            ["'%d-%m-%y'", "'%y-%m-%d'"],
        ),
    ],
)
def test_an_ambiguous_column_is_an_error_with_both_readings(
    project: Project, values: list[str], readings: list[str], formats: list[str]
) -> None:
    message = date_error(project, *values)
    assert "column 'close_date'" in message
    for text in (*readings, *formats, "no value of the file proves which", "date_format:"):
        assert text in message


def test_the_place_of_an_ambiguous_value_is_named(project: Project) -> None:
    message = date_error(project, "2017-01-01", "", "NULL", "03/04/2017")
    assert message.startswith("opportunities.csv:5: column 'close_date': '03/04/2017' can be")


def test_values_that_contradict_each_other_are_an_error(project: Project) -> None:
    message = date_error(project, "13/01/2017", "01/13/2017", "01/02/2017")
    assert "do not share one order" in message
    assert "'13/01/2017' is not written month first" in message
    assert "'01/13/2017' is not written day first" in message


def test_a_proof_at_the_end_of_a_large_file_counts(project: Project) -> None:
    values = ["01/02/2017"] * 150_000 + ["13/02/2017"]
    found = dates(project, *values)
    assert set(found) == {date(2017, 2, 1), date(2017, 2, 13)}
    assert len(found) == 150_001


def test_a_slash_date_behind_many_iso_dates_is_still_proven(project: Project) -> None:
    values = ["2017-02-01"] * 150_000 + ["03/04/2017"]
    assert "opportunities.csv:150002" in date_error(project, *values)
    assert dates(project, *values, "25/12/2017")[-2:] == [date(2017, 4, 3), date(2017, 12, 25)]


def test_each_file_proves_its_own_order(project: Project) -> None:
    project.write("a.csv", "id,close_date\n1,13/01/2017\n")
    project.write("b.csv", "id,close_date\n2,01/13/2017\n")
    options = {"datasets": {"opportunities": {"file": ["a.csv", "b.csv"]}}}
    loaded = project.read("opportunities", columns=["close_date"], **options)
    assert loaded.column("close_date") == [date(2017, 1, 13), date(2017, 1, 13)]
    project.write("b.csv", "id,close_date\n2,01/02/2017\n")
    assert "b.csv:2" in project.error("opportunities", **options)


def test_each_column_proves_its_own_order(project: Project) -> None:
    text = "id,close_date,created_at\n1,13/01/2017,01/31/2017\n2,01/02/2017,01/02/2017\n"
    project.write("opportunities.csv", text)
    loaded = project.read("opportunities", columns=["close_date", "created_at"])
    assert loaded.column("close_date") == [date(2017, 1, 13), date(2017, 2, 1)]
    assert [value.date() for value in loaded.column("created_at")] == [
        date(2017, 1, 31),
        date(2017, 1, 2),
    ]


def test_a_value_that_breaks_the_proven_order_is_named(project: Project) -> None:
    message = date_error(project, "13/01/2017", "99/99/2017", "31/04/2017")
    assert "opportunities.csv:3" in message
    assert "opportunities.csv:4" in message


# --- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "value", "day"),
    [
        ("%d/%m/%Y", "03/04/2017", date(2017, 4, 3)),
        ("%m/%d/%Y", "03/04/2017", date(2017, 3, 4)),
        ("%d-%m-%y", "20-10-16", date(2016, 10, 20)),
        ("%d %b %Y", "3 Apr 2017", date(2017, 4, 3)),
        ("%Y%m%d", "20170403", date(2017, 4, 3)),
        ("%Y-%d-%m", "2017-03-04", date(2017, 4, 3)),
        ("%d/%m/%Y", "2017-04-03", date(2017, 4, 3)),
    ],
)
def test_a_format_settles_it(project: Project, pattern: str, value: str, day: date) -> None:
    assert dates(project, value, "", date_format=pattern) == [day, None]


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("%d/%m/%Y", "04/13/2017"),
        ("%d/%m/%Y", "13.04.2017"),
        ("%Y-%d-%m", "2017-03-13"),
        ("%d %b %Y", "3/4/2017"),
    ],
)
def test_a_value_against_the_format_is_an_error(project: Project, pattern: str, value: str) -> None:
    message = date_error(project, value, date_format=pattern)
    assert f"found '{value}': does not fit '{pattern}'" in message


def test_a_format_holds_for_timestamps(project: Project) -> None:
    options = {"timestamp_format": "%d.%m.%Y um %H.%M Uhr"}
    assert instants(project, "03.04.2017 um 15.30 Uhr", "2017-01-02 03:04", **options) == [
        "2017-04-03 15:30:00",
        "2017-01-02 03:04:00",
    ]


def test_the_date_format_tells_the_order_in_timestamps(project: Project) -> None:
    found = instants(project, "03/04/2017 5:06", "03/04/2017", date_format="%d/%m/%Y")
    assert found == ["2017-04-03 05:06:00", "2017-04-03 00:00:00"]


def test_a_format_with_an_offset_gives_instants(project: Project) -> None:
    found = instants(
        project, "03/04/2017 05:06 +0200", timestamp_format="%d/%m/%Y %H:%M %z", zone="Asia/Tokyo"
    )
    assert found == ["2017-04-03 03:06:00"]


# --- timestamps ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2023-07-28", "2023-07-28 00:00:00"),
        ("2023-07-28 3:00", "2023-07-28 03:00:00"),
        ("2023-07-28 03:00", "2023-07-28 03:00:00"),
        ("2023-07-28T03:00:59.123456789", "2023-07-28 03:00:59"),
        ("2023-07-28T03:00Z", "2023-07-28 03:00:00"),
        ("2023-07-28 03:00:00 UTC", "2023-07-28 03:00:00"),
        ("2023-07-28T03:00:00.000+0000", "2023-07-28 03:00:00"),
        ("2023-07-28 03:00+02", "2023-07-28 01:00:00"),
        ("2023-07-28 03:00:00 -05:30", "2023-07-28 08:30:00"),
        ("20230728T030000Z", "2023-07-28 03:00:00"),
        ("7/28/2023 3:00 PM", "2023-07-28 15:00:00"),
        ("28.7.2023, 12:05 a.m.", "2023-07-28 00:05:00"),
        ("7/28/2023 12:00:01 pm", "2023-07-28 12:00:01"),
    ],
)
def test_forms_of_timestamps(project: Project, value: str, instant: str) -> None:
    assert instants(project, value) == [instant]


def test_forms_of_timestamps_may_be_mixed(project: Project) -> None:
    values = ["2023-07-28T03:00Z", "2023-07-28", "2023-07-28 3:00", "", "28/7/2023"]
    assert instants(project, *values, zone="Europe/Berlin") == [
        "2023-07-28 03:00:00",
        "2023-07-27 22:00:00",
        "2023-07-28 01:00:00",
        None,
        "2023-07-27 22:00:00",
    ]


@pytest.mark.parametrize(
    "value",
    ["2023-07-28 24:00", "2023-07-28 12:60", "2023-07-28 13:00 PM", "2023-07-28 0:00 AM",
     "2023-07-28T03:00+25:00", "2023-07-28 03:00:61", "03:00"],
)  # fmt: skip
def test_times_that_do_not_exist_are_errors(project: Project, value: str) -> None:
    message = date_error(project, value, column="created_at")
    assert f"column 'created_at': expected a timestamp, found '{value}'" in message


def test_a_time_without_zone_is_of_the_sources_zone(project: Project) -> None:
    summer, winter = "2024-07-01 12:00", "2024-01-01 12:00"
    assert instants(project, summer, winter, zone="America/New_York") == [
        "2024-07-01 16:00:00",
        "2024-01-01 17:00:00",
    ]
    assert instants(project, summer, zone="America/New_York", timezone="UTC") == [
        "2024-07-01 12:00:00"
    ]


def test_an_instant_in_a_date_column_is_a_day_of_the_reporting_zone(project: Project) -> None:
    values = ["2024-03-01T02:00:00Z", "2024-03-01 02:00"]
    assert dates(project, *values, zone="America/New_York") == [
        date(2024, 2, 29),
        date(2024, 3, 1),
    ]


# --- clock changes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        # Skipped: forward by the length of the gap. Doubled: the later instant.
        ("America/New_York", "2024-03-10 02:30", "2024-03-10 07:30:00"),
        ("America/New_York", "2024-03-10 01:59", "2024-03-10 06:59:00"),
        ("America/New_York", "2024-03-10 03:00", "2024-03-10 07:00:00"),
        ("America/New_York", "2024-11-03 01:30", "2024-11-03 06:30:00"),
        ("America/New_York", "2024-11-03 00:59", "2024-11-03 04:59:00"),
        ("Europe/Berlin", "2024-03-31 02:30", "2024-03-31 01:30:00"),
        ("Australia/Lord_Howe", "2024-10-06 02:15", "2024-10-05 15:45:00"),
        ("America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04 03:00:00"),
        ("Asia/Kolkata", "2024-03-10 02:30", "2024-03-09 21:00:00"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 22:00:00"),
        ("America/New_York", "9999-12-31 00:00", "9999-12-31 05:00:00"),
    ],
)
def test_clock_changes(project: Project, zone: str, local: str, instant: str) -> None:
    assert instants(project, local, "", zone=zone) == [instant, None]


def test_clock_changes_are_those_of_duckdb(project: Project) -> None:
    """Mapped expressions are evaluated by DuckDB; a bare column must give the same instant."""
    hours = [
        datetime(year, month, day, hour, minute)
        for year in (1999, 2010, 2024)
        for month in range(1, 13)
        for day in range(1, 29)
        for hour, minute in ((0, 0), (0, 30), (1, 30), (2, 0), (2, 59), (3, 0))
    ]
    rows = "".join(f"{i},{hour:%Y-%m-%d %H:%M:%S}\n" for i, hour in enumerate(hours))
    project.write("leads.csv", "id,local\n" + rows)
    columns = {"created_at": "local", "converted_at": "strptime(local, '%Y-%m-%d %H:%M:%S')"}
    for zone in ("America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "America/Havana"):
        loaded = project.read(
            "leads",
            columns=list(columns),
            zone=zone,
            datasets={"leads": {"file": "leads.csv", "columns": columns}},
        )
        assert loaded.column("created_at") == loaded.column("converted_at")
