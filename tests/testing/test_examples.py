"""Worked examples: what stands in the text is what comes out, and the rest is filled by rule."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics.errors import UsageError
from crmetrics.testing.examples import Expectation, read_example, read_example_file, read_tables

DATASETS = canonical_datasets()


def test_shown_values_get_canonical_types() -> None:
    tables = read_tables(
        "@opportunities\n"
        "id,close_date,is_won,amount,created_at,probability\n"
        "7,2026-01-31,true,1000.50,2026-01-01T09:00:00+02:00,0.5\n"
    )
    row = tables["opportunities"].to_pylist()[0]
    assert row["id"] == "7"
    assert row["close_date"] == date(2026, 1, 31)
    assert row["is_won"] is True
    assert row["amount"] == Decimal("1000.5")
    assert row["created_at"] == datetime(2026, 1, 1, 7, tzinfo=UTC)
    assert row["probability"] == 0.5


def test_empty_is_null_and_a_date_is_its_midnight() -> None:
    row = read_tables("@cases\nid,created_at,closed_at\n1,2026-01-05,\n")["cases"].to_pylist()[0]
    assert row["created_at"] == datetime(2026, 1, 5, tzinfo=UTC)
    assert row["closed_at"] is None


def test_what_is_not_shown_is_filled_by_the_rule_of_the_catalogue() -> None:
    text = (
        "@activities\noccurred_at\n2026-01-01\n2026-01-02\n"
        "@orders\naccount_id\nA\n@users\nid\nu1\n@subscriptions\naccount_id\nA\n"
        "@quotas\ntarget_amount\n5\n@opportunities\nid\n1\n"
    )
    tables = {name: table.to_pylist() for name, table in read_tables(text).items()}
    first, second = tables["activities"]
    assert (first["id"], second["id"]) == ("1", "2")
    assert first["source"] == "test"
    assert first["activity_type"] == "email"
    assert first["is_completed"] is True
    assert first["is_automated"] is False
    assert first["direction"] is None
    assert tables["orders"][0]["status"] == "paid"
    assert tables["users"][0]["user_type"] == "human"
    assert tables["users"][0]["is_licensed"] is True
    assert tables["subscriptions"][0]["subscription_id"] == "1"
    assert tables["subscriptions"][0]["start_date"] == date(2000, 1, 1)
    assert tables["subscriptions"][0]["mrr"] == 0
    assert tables["quotas"][0]["kpi_id"] == "won_amount"
    assert tables["opportunities"][0]["stage"] == "-"
    assert tables["opportunities"][0]["is_closed"] is False


def test_tables_have_the_whole_schema_even_without_rows() -> None:
    tables = read_tables("@accounts\nid\n", also=["cases"])
    for name in ("accounts", "cases"):
        assert tables[name].schema.equals(DATASETS[name].arrow_schema())
        assert tables[name].num_rows == 0


def test_a_quoted_value_may_hold_a_comma() -> None:
    tables = read_tables('@accounts\nid,segment\n1,"large, old"\n')
    assert tables["accounts"]["segment"].to_pylist() == ["large, old"]


def test_expected_values_and_settings_are_read() -> None:
    example = read_example(
        "@settings\n"
        "name,value\n"
        "customer_model,purchase\n"
        'amount_bands,"[10, 20]"\n'
        "@expected\n"
        "kpi,value,period,by,segment,as_of,status,n,coverage\n"
        "win_rate,0.6,,,,,,,\n"
        "won_amount.median,,2026-Q1,owner.team;segment,owner.team=East;segment=(none),2026-02-01,"
        "no_data,3,missing_amount=1;orphan=2\n"
    )
    assert example.settings == {"customer_model": "purchase", "amount_bands": [10, 20]}
    assert example.expected == (
        Expectation("win_rate", 0.6, line=7),
        Expectation(
            "won_amount.median",
            None,
            period="2026-Q1",
            by=("owner.team", "segment"),
            segment={"owner.team": "East", "segment": "(none)"},
            as_of="2026-02-01",
            status="no_data",
            n=3,
            coverage={"missing_amount": 1.0, "orphan": 2.0},
            line=8,
        ),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@oportunities\nid\n1\n", "x.csv:1: there is no dataset 'oportunities'. Did you mean"),
        ("@accounts\nid,sgment\n1,a\n", "x.csv:2: @accounts has no column 'sgment'. Did you mean"),
        ("@accounts\nid,segment\n1\n", "x.csv:3: @accounts has 2 columns, this row has 1 values"),
        ("@accounts\n", "x.csv:1: @accounts has no line that names its columns"),
        ("id\n1\n", "x.csv:1: expected a line `@DATASET`"),
        ("@cases\nid,is_closed\n1,yes\n", "x.csv:3: @cases: 'yes' is no bool for the column"),
        ("@orders\nid,total_amount\n\n1,12,5\n", "x.csv:4: @orders has 2 columns"),
        ("@orders\nid,total_amount\n1,12 USD\n", "x.csv:3: @orders: '12 USD' is no money"),
        ("@expected\nkpi,vlue\nx,1\n", "x.csv:2: @expected has no column 'vlue'"),
        ("@expected\nkpi,value\nx,many\n", "x.csv:3: @expected: this row cannot be read"),
        ("@expected\nkpi,value,segment\nx,1,East\n", "expected NAME=VALUE, found 'East'"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_example(text, file="x.csv")
    assert message in str(caught.value)
    file = tmp_path / "example.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"example\.csv:\d"):
        read_example_file(file)


@pytest.mark.shared
def test_all_worked_examples_of_the_catalogue_can_be_read(shared_data: Path) -> None:
    catalogue = (shared_data.parent / "kpis.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```csv\n(.*?)```", catalogue, re.DOTALL)
    assert len(blocks) == 81
    for block in blocks:
        tables = read_tables(block)
        lines = [line for line in block.splitlines() if line and not line.startswith("@")]
        # Every line but the headers is a row.
        assert sum(table.num_rows for table in tables.values()) == len(lines) - len(tables)
