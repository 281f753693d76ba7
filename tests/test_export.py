"""Tables as CSV, JSON and Parquet."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crmetrics import export
from crmetrics.results import result_schema
from result_rows import kpi, table


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_json_gives_segments_as_objects_and_dates_as_iso() -> None:
    [row] = json.loads(export.to_json(table(kpi(segment={"owner.team": "East"}))))
    assert row["segment"] == {"owner.team": "East"}
    assert (row["period_start"], row["as_of"]) == ("2026-01-26", "2026-02-02T07:00:00Z")
    assert list(row) == result_schema().names


def test_json_of_an_empty_table_is_an_empty_array() -> None:
    assert export.to_json(table()) == "[]\n"


def test_csv_of_an_empty_table_has_its_header() -> None:
    [header] = read_csv(export.to_csv(table()))
    assert header == result_schema().names


def test_ndjson_has_one_object_per_line() -> None:
    lines = export.to_ndjson(table(kpi(), kpi("won_amount", 5.0))).splitlines()
    assert [json.loads(line)["kpi"] for line in lines] == ["win_rate", "won_amount"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_null(value: float) -> None:
    numbers = pa.table({"a": [1.5], "value": [value]})
    assert export.to_json(numbers) == '[\n{"a": 1.5, "value": null}\n]\n'
    assert export.to_csv(numbers) == "a,value\n1.5,\n"
    assert export.flat(numbers).column("value").to_pylist() == [None]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＠"])
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    names = pa.table({"name": [f"{start}cmd|' /C calc'!A0"]})
    [[_], [cell]] = read_csv(export.to_csv(names))
    assert cell == f"'{start}cmd|' /C calc'!A0"


def cells(text: str, delimiter: str) -> list[str]:
    """All cells that a reader sees that splits at this delimiter."""
    return [
        cell
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        for cell in row
    ]


def starts_formula(cell: str) -> bool:
    return cell.lstrip().startswith(tuple("=+-@＝＋－＠"))


@pytest.mark.parametrize("sign", ["=", "-", "＠"])
@pytest.mark.parametrize("between", ["", " \u00a0", ' "'])
@pytest.mark.parametrize("separator", [";", "\t", "\r", "\n", "\r\n", ";;"])
def test_a_formula_behind_what_another_reader_splits_at_is_inert(
    separator: str, between: str, sign: str
) -> None:
    text = f"x{separator}{between}{sign}1+1;y"
    nested = pa.array([[("lead_source", text)]], pa.map_(pa.string(), pa.string()))
    written = export.to_csv(pa.table({"name": [text], "more": [f"a, b{text}"], "nested": nested}))
    for delimiter in ",;\t":
        assert [cell for cell in cells(written, delimiter) if starts_formula(cell)] == []
    assert cells(written, ",")[3] == f"x{separator}{between}'{sign}1+1;y"


def test_only_the_signs_within_a_text_that_start_a_cell_are_touched() -> None:
    nested = pa.array(
        [[("segment", "x;=HYPERLINK(A1);y"), ("n", "-5")]], pa.map_(pa.string(), pa.string())
    )
    rows = pa.table(
        {"name": ["a; -5;b-c; d=e; ann@acme.com; 5"], "nested": nested, "value": [-1.0]}
    )
    assert cells(export.to_csv(rows), ",")[3:] == [
        "a; '-5;b-c; d=e; ann@acme.com; 5",
        """{"n": "-5", "segment": "x;'=HYPERLINK(A1);y"}""",
        "-1.0",
    ]


def test_a_negative_number_stays_a_number() -> None:
    numbers = pa.table({"amount": [-5.0], "count": [-3], "money": [Decimal("-1.50")]})
    assert export.to_csv(numbers) == "amount,count,money\n-5.0,-3,-1.50\n"


def test_a_formula_as_column_name_is_inert_too() -> None:
    assert export.to_csv(pa.table({"=1+1": [1]})) == "'=1+1\n1\n"


@pytest.mark.parametrize(
    "text", ['say "hi"', "a,b", "two\nlines", "lone\rreturn", " padded ", "häß, 日本 🎉", "a'b;c"]
)
def test_csv_gives_back_every_text(text: str) -> None:
    [_, [cell, _]] = read_csv(export.to_csv(pa.table({"name": [text], "n": [1]})))
    assert cell == text


def test_a_lone_null_is_a_row_and_no_blank_line() -> None:
    assert export.to_csv(pa.table({"a": pa.array([None, "x"])})) == 'a\n""\nx\n'


def test_csv_line_ends_are_newlines_only() -> None:
    assert "\r" not in export.to_csv(table(kpi(), kpi()))


def test_nested_values_are_canonical_json_text_in_csv() -> None:
    rows = table(kpi(segment={"b": '=HYPERLINK("x")', "a": "é"}, flags=["low_sample"]))
    [header, cells] = read_csv(export.to_csv(rows))
    found = dict(zip(header, cells, strict=True))
    assert found["segment"] == '{"a": "é", "b": "=HYPERLINK(\\"x\\")"}'
    assert found["flags"] == '["low_sample"]'


def test_equal_maps_give_equal_text_whatever_their_order() -> None:
    one = export.flat(table(kpi(segment={"a": "1", "b": "2"})))
    other = export.flat(table(kpi(segment={"b": "2", "a": "1"})))
    assert one.column("segment").equals(other.column("segment"))


def test_a_decimal_that_a_float_cannot_hold_keeps_its_digits() -> None:
    exact = Decimal("12345678901234.5678")
    amounts = pa.table({"amount": pa.array([exact, Decimal("1.5000")], pa.decimal128(18, 4))})
    assert [row["amount"] for row in export.rows(amounts)] == ["12345678901234.5678", 1.5]
    assert export.to_csv(amounts) == "amount\n12345678901234.5678\n1.5000\n"


def test_instants_of_any_zone_are_given_in_utc() -> None:
    berlin = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    instants = pa.table({"at": pa.array([berlin], pa.timestamp("us", tz="Europe/Berlin"))})
    assert list(export.rows(instants)) == [{"at": "2025-12-31T23:30:00Z"}]


def test_nanoseconds_are_cut_to_microseconds() -> None:
    at = pa.array([1_767_225_600_123_456_789], pa.timestamp("ns", tz="UTC"))
    assert list(export.rows(pa.table({"at": at}))) == [{"at": "2026-01-01T00:00:00.123456Z"}]


def test_lists_structs_bytes_and_durations_have_a_json_form() -> None:
    mixed = pa.table(
        {
            "list": [[date(2026, 1, 1), None]],
            "struct": [{"day": date(2026, 1, 2)}],
            "bytes": [b"\x00\xff"],
            "duration": [timedelta(seconds=90)],
        }
    )
    assert list(export.rows(mixed)) == [
        {
            "list": ["2026-01-01", None],
            "struct": {"day": "2026-01-02"},
            "bytes": "00ff",
            "duration": 90.0,
        }
    ]


def test_parquet_gives_back_the_same_table(tmp_path: Path) -> None:
    results = table(kpi(segment={"owner.team": "East"}, coverage={"rows_used": 3.0}))
    export.write_parquet(results, tmp_path / "results.parquet")
    assert pq.read_table(tmp_path / "results.parquet").equals(results)


def test_a_naive_datetime_is_shown_as_it_is() -> None:
    assert export.instant(datetime(2026, 1, 1)) == "2026-01-01T00:00:00"
    assert export.instant(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"
