"""What check says about a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connectors.csv.conftest import Project

OPPORTUNITIES = (
    "id,stage,is_closed,is_won,created_at,amount,owner name\n1,new,no,no,2024-01-01,,x\n"
)


def test_a_dataset_in_order_tells_what_it_fills(project: Project) -> None:
    project.write("data/opportunities.csv", OPPORTUNITIES)
    result = project.check(path="data")["opportunities"]
    assert result.state == "ok"
    assert "data/opportunities.csv fills id, stage, amount, is_closed" in result.message
    assert "unused fields: owner name" in result.message


def test_columns_that_kpis_rely_on_are_missed(project: Project) -> None:
    project.write("opportunities.csv", "id,stage\n1,new\n")
    result = project.check()["opportunities"]
    assert result.state == "warning"
    assert "KPIs need is_closed, is_won, created_at" in result.message
    assert "columns" in result.fix


def test_columns_with_a_default_are_not_missed(project: Project) -> None:
    project.write("users.csv", "id,created_at\n1,2024-01-01\n")
    assert project.check()["users"].state == "ok"


def test_files_of_no_dataset_are_named_once(project: Project) -> None:
    project.write("opportunities.csv", OPPORTUNITIES)
    project.write("data_dictionary.csv", "a,,,\n")
    project.write("crmetrics.yaml", "x")
    project.write("costs.xlsx", "x")
    project.write(".hidden.csv", "x")
    result = project.check()["other files"]
    assert result.state == "ok"
    assert result.message.endswith("ignored: costs.xlsx, data_dictionary.csv")


def test_a_file_with_nearly_the_name_of_a_dataset_is_a_warning(project: Project) -> None:
    project.write("opportunities.csv", OPPORTUNITIES)
    project.write("acounts.csv", "id\n1\n")
    result = project.check()["other files"]
    assert result.state == "warning"
    assert "acounts.csv is ignored: Did you mean 'accounts'?" in result.message


def test_numbered_rows_cannot_be_referred_to(project: Project) -> None:
    project.write("accounts.csv", "created_at\n2024-01-01\n")
    result = project.check()["accounts"]
    assert result.state == "warning"
    assert "refer to accounts by id, which no field fills" in result.message
    project.write("expenses.csv", "expense_date,category,amount\n")
    assert project.check()["expenses"].state == "ok"


def test_everything_wrong_is_reported_at_once(project: Project) -> None:
    project.write("accounts.csv", "")
    project.write("leads.csv", "id,status,status\n")
    project.write("opportunities.csv", OPPORTUNITIES)
    project.write("cases.csv", "id\n")
    project.write("cases.parquet", "id\n")
    options = {
        "path": ".",
        "datasets": {
            "orders": {"file": "orders/*.csv"},
            "opportunities": {"columns": {"owner_id": "owner", "amnt": "amount"}},
            "contcts": {"file": "x.csv"},
        },
    }
    results = project.check(**options)
    messages = {name: result.message for name, result in results.items()}
    assert "empty (0 bytes)" in messages["accounts"]
    assert "found several: 'status'" in messages["leads"]
    assert "cases.csv, cases.parquet" in messages["cases"]
    assert "no file matches 'orders/*.csv'" in messages["orders"]
    assert "'owner' is no field" in messages["opportunities"]
    assert "no column 'amnt'. Did you mean 'amount'?" in messages["opportunities"]
    assert "Did you mean 'contacts' or" in messages["contcts"]
    for name in ("accounts", "leads", "cases", "orders", "opportunities", "contcts"):
        assert results[name].state == "error"
        assert results[name].fix


def test_files_with_and_without_ids_are_an_error(project: Project) -> None:
    project.write("a.csv", "id,status\n1,new\n")
    project.write("b.csv", "status\nnew\n")
    options = {"datasets": {"leads": {"file": "*.csv"}}}
    result = project.check(**options)["leads"]
    assert result.state == "error"
    assert "b.csv has no field 'id', a.csv has one" in result.message
    assert "no field 'id'" in project.error("leads", **options)


def test_a_missing_folder_is_one_error(project: Project) -> None:
    results = project.check(path="nowhere")
    assert [result.state for result in results.values()] == ["error"]
    assert "folder nowhere does not exist" in results["folder"].message
