"""Which field fills which column, and what SQL expressions see."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from crmetrics.datasets import canonical_datasets
from crmetrics_csv.fields import Header, plan_file

if TYPE_CHECKING:
    from connectors.csv.conftest import Project

DATASETS = canonical_datasets()


def mapped(dataset: str, columns: dict[str, str], **options: Any) -> dict[str, Any]:
    return {"path": ".", "datasets": {dataset: {"columns": columns, **options}}}


def test_the_example_of_a_pipeline_export_is_read(project: Project) -> None:
    project.write(
        "exports/sales_pipeline_2017.csv",
        "opportunity_id,sales_agent,account,deal_stage,engage_date,close_date,close_value\n"
        "1C1I7A6R,Moses Frase,Cancity,Won,10/20/2016,3/1/2017,1054\n"
        "Z063OYW0,Darcel Schlecht,,Engaging,10/25/2016,,\n",
    )
    columns = {
        "id": "opportunity_id",
        "account_id": "account",
        "owner_id": "sales_agent",
        "stage": "deal_stage",
        "created_at": "strptime(engage_date, '%m/%d/%Y')",
        "close_date": "strptime(close_date, '%m/%d/%Y')",
        "amount": "close_value",
        "is_closed": "deal_stage in ('Won', 'Lost')",
        "is_won": "deal_stage = 'Won'",
    }
    options = {"opportunities": {"file": "exports/sales_pipeline*.csv", "columns": columns}}
    loaded = project.read("opportunities", columns=list(columns), datasets=options)
    won, engaging = loaded.rows
    assert won["close_date"] == date(2017, 3, 1)
    assert won["amount"] == Decimal("1054.0000")
    assert (won["is_closed"], won["is_won"]) == (True, True)
    assert won["created_at"].isoformat() == "2016-10-20T00:00:00+00:00"
    assert engaging["close_date"] is engaging["amount"] is engaging["account_id"] is None
    assert engaging["is_closed"] is False


def test_a_field_fills_its_own_column_unless_that_is_mapped(project: Project) -> None:
    project.write("leads.csv", "id,status,state,segment\n1,old,new,smb\n")
    loaded = project.read(
        "leads", columns=["status", "segment"], **mapped("leads", {"status": "state"})
    )
    assert loaded.rows == [{"id": "1", "segment": "smb", "status": "new"}]


@pytest.mark.parametrize("text", ["Deal Stage", "deal stage", '"Deal Stage"', " Deal Stage "])
def test_a_field_name_with_spaces_can_be_mapped(project: Project, text: str) -> None:
    project.write("leads.csv", "id,Deal Stage\n1,new\n")
    loaded = project.read("leads", columns=["status"], **mapped("leads", {"status": text}))
    assert loaded.column("status") == ["new"]


def test_the_exact_case_comes_first(project: Project) -> None:
    project.write("leads.csv", "ID,STATUS,status,Segment\n1,upper,lower,smb\n")
    loaded = project.read("leads", columns=["status", "segment"])
    assert loaded.rows == [{"id": "1", "status": "lower", "segment": "smb"}]


def test_one_field_may_fill_several_columns(project: Project) -> None:
    project.write("opportunities.csv", "id,when,won\n1,2024-03-01,yes\n")
    columns = {
        "created_at": "when",
        "close_date": "when",
        "stage": "won",
        "is_won": "won",
        "is_closed": "won = 'yes'",
    }
    loaded = project.read("opportunities", columns=columns, **mapped("opportunities", columns))
    row = loaded.rows[0]
    assert row["close_date"] == date(2024, 3, 1)
    assert row["created_at"].date() == date(2024, 3, 1)
    assert (row["stage"], row["is_won"], row["is_closed"]) == ("yes", True, True)


def test_expressions_see_the_text_of_the_file(project: Project) -> None:
    project.write("leads.csv", "id,code\n1,007\n2,\n")
    columns = {"status": "'<' || code || '>'", "segment": "coalesce(code, 'none')"}
    loaded = project.read("leads", columns=columns, **mapped("leads", columns))
    assert loaded.column("status") == ["<007>", None]
    assert loaded.column("segment") == ["007", "none"]


def test_an_expression_of_constants_fills_every_row(project: Project) -> None:
    project.write("leads.csv", "id,status\n1,new\n2,old\n")
    columns = {"segment": "'smb'", "is_test": "false"}
    loaded = project.read("leads", columns=[*columns, "status"], **mapped("leads", columns))
    assert loaded.column("segment") == ["smb", "smb"]
    assert loaded.column("is_test") == [False, False]


def test_a_failing_expression_names_the_file_and_the_column(project: Project) -> None:
    project.write("leads.csv", "id,x\n1,abc\n")
    message = project.error("leads", **mapped("leads", {"created_at": "strptime(x, '%Y')"}))
    assert message.startswith("leads.csv: ")
    assert "created_at" in message


def test_a_field_both_typed_and_in_an_expression_is_text_for_the_expression(
    project: Project,
) -> None:
    project.write("opportunities.csv", "id,amount\n1,007.50\n")
    columns = {"stage": "amount"} | {"lost_reason": "amount || '!'"}
    loaded = project.read(
        "opportunities", columns=["amount", *columns], **mapped("opportunities", columns)
    )
    row = loaded.rows[0]
    assert (row["amount"], row["stage"], row["lost_reason"]) == (
        Decimal("7.5000"),
        "007.50",
        "007.50!",
    )


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("deal_stag", "Did you mean 'deal_stage'?"),
        ('"deal_stag"', "Did you mean 'deal_stage'?"),
        ("Acount Name", "Did you mean 'Account Name'?"),
        ("USD", "A constant text needs quotes: \"'USD'\"."),
    ],
)
def test_a_mapping_that_is_no_field_is_an_error_with_the_close_name(
    project: Project, text: str, hint: str
) -> None:
    project.write("leads.csv", "id,deal_stage,Account Name\n1,new,x\n")
    options = mapped("leads", {"status": text})
    message = project.error("leads", **options)
    assert message.startswith("leads.csv: column 'status': ")
    assert hint in message
    assert hint in project.check(**options)["leads"].message


@pytest.mark.parametrize("text", ["true", "NULL", "current_date", "not is_won", "'x'", "1 + 1"])
def test_expressions_are_no_misspelt_fields(text: str) -> None:
    plan, problems = plan_file(DATASETS["leads"], {"status": text}, Header(["id", "is_won"]))
    assert problems == []
    assert plan.computed == ("status",)


def test_an_unknown_column_is_an_error_with_the_close_name() -> None:
    _, problems = plan_file(DATASETS["leads"], {"staus": "x"}, Header(["id", "x"]))
    assert problems == ["columns: leads has no column 'staus'. Did you mean 'status'?"]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("id,status,status", {}),
        ("id,Status,STATUS", {}),
        ("id,x,x", {"status": "x"}),
        ("id,x,x", {"status": "upper(x)"}),
        ("id,id", {}),
    ],
)
def test_a_name_that_matters_must_not_repeat(
    project: Project, header: str, columns: dict[str, str]
) -> None:
    options = mapped("leads", columns)
    project.write("leads.csv", f"{header}\n1,2\n")
    message = project.error("leads", **options)
    assert "found several" in message
    assert project.check(**options)["leads"].state == "error"


def test_a_name_that_does_not_matter_may_repeat_or_be_missing(project: Project) -> None:
    project.write("leads.csv", "id,,note,note,\n1,a,b,c,d\n")
    assert project.read("leads", columns=[]).column("id") == ["1"]
    message = project.check()["leads"].message
    assert "repeats the unused note" in message
    assert "no name for field 2, 5" in message


def test_only_the_columns_asked_for_are_given(project: Project) -> None:
    project.write("leads.csv", "id,status,segment,junk\n1,new,smb,\n")
    connector = project.connector()
    request = project.request(connector, "leads", columns=["segment"])
    assert [batch.schema.names for batch in connector.read(request)] == [["id", "segment"]]


# --- rows without an id --------------------------------------------------------------------


def test_rows_without_an_id_are_numbered(project: Project) -> None:
    project.write("expenses.csv", "amount\n5\nx,y\n\n7\n")
    loaded = project.read("expenses", columns=["amount"])
    assert loaded.column("id") == ["expenses:1", "expenses:3"]
    assert "rows are numbered as expenses:1" in project.check()["expenses"].message


def test_numbers_do_not_depend_on_the_columns_asked_for(project: Project) -> None:
    rows = "".join(f"{n},x\n" if n % 50 else f"{n},x,y\n" for n in range(1, 60_000))
    project.write("expenses.csv", "amount,category\n" + rows)
    expected = [f"expenses:{n}" for n in range(1, 60_000) if n % 50]
    for columns in ([], ["amount"], ["category"]):
        assert project.read("expenses", columns=columns).column("id") == expected


def test_files_of_one_name_do_not_share_their_numbers(project: Project) -> None:
    project.write("a/costs.csv", "amount\n5\n")
    project.write("b/costs.csv", "amount\n6\n")
    project.write("b/more.csv", "amount\n7\n")
    options = {"datasets": {"expenses": {"file": "*/*.csv"}}}
    loaded = project.read("expenses", columns=[], **options)
    assert loaded.column("id") == ["a/costs.csv:1", "b/costs.csv:1", "more:1"]


def test_a_dataset_with_a_key_of_its_own_needs_its_columns(project: Project) -> None:
    project.write("exchange_rates.csv", "currency,rate\nEUR,1.1\n")
    message = project.error("exchange_rates")
    assert "no field for 'valid_from', a key of exchange_rates" in message
    project.write("exchange_rates.csv", "currency,valid_from,rate\nEUR,2024-01-01,1.1\n")
    assert project.read("exchange_rates", columns=["rate"]).rows == [
        {"currency": "EUR", "valid_from": date(2024, 1, 1), "rate": 1.1}
    ]


def test_files_of_a_dataset_may_fill_different_columns(project: Project) -> None:
    project.write("a.csv", "id,status\n1,new\n")
    project.write("b.csv", "segment,id\nsmb,2\n")
    options = {"datasets": {"leads": {"file": ["a.csv", "b.csv"]}}}
    loaded = project.read("leads", columns=["status", "segment"], **options)
    assert loaded.rows == [
        {"id": "1", "segment": None, "status": "new"},
        {"id": "2", "segment": "smb", "status": None},
    ]
    result = project.check(**options)["leads"]
    assert result.state == "warning"
    assert "status is not in b.csv" in result.message
