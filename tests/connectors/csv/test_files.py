"""Which files are read for which dataset."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from crmetrics.plugin import ConfigError, SourceError

if TYPE_CHECKING:
    from connectors.csv.conftest import Project

ACCOUNTS = "id,segment\nA,smb\n"


def supplied(project: Project, **options: object) -> dict[str, tuple[str, ...]]:
    return {s.dataset: s.columns for s in project.connector(**options).datasets()}


def test_a_file_is_found_by_the_name_of_its_dataset(project: Project) -> None:
    project.write("data/accounts.csv", ACCOUNTS)
    project.write("data/leads.csv", "id,status\n1,new\n")
    project.write("data/data_dictionary.csv", "a,,,\n")
    assert supplied(project, path="data") == {
        "accounts": ("id", "segment"),
        "leads": ("id", "status"),
    }


def test_the_project_folder_is_searched_when_nothing_is_said(project: Project) -> None:
    project.write("accounts.csv", ACCOUNTS)
    assert list(supplied(project)) == ["accounts"]


def test_only_listed_datasets_count_when_no_folder_is_given(project: Project) -> None:
    project.write("accounts.csv", ACCOUNTS)
    project.write("crm/export.csv", "id\n1\n")
    options = {"datasets": {"leads": {"file": "crm/export.csv"}}}
    assert list(supplied(project, **options)) == ["leads"]


def test_listed_files_are_relative_to_the_folder_and_the_others_are_found(project: Project) -> None:
    project.write("crm/accounts.csv", ACCOUNTS)
    project.write("crm/costs.csv", "amount\n5\n")
    options = {"path": "crm", "datasets": {"expenses": {"file": "costs.csv"}}}
    assert set(supplied(project, **options)) == {"accounts", "expenses"}


@pytest.mark.parametrize(
    "name", ["accounts.CSV", "Accounts.csv", "accounts.csv.gz", "accounts.tsv"]
)
def test_case_and_known_extensions_do_not_matter(project: Project, name: str) -> None:
    text = ACCOUNTS.replace(",", "\t") if name.endswith("tsv") else ACCOUNTS
    if name.endswith("gz"):
        import gzip

        project.write(name, gzip.compress(text.encode()))
    else:
        project.write(name, text)
    assert project.read("accounts", columns=["segment"]).rows == [{"id": "A", "segment": "smb"}]


def test_two_files_of_one_dataset_are_an_error_that_names_them(project: Project) -> None:
    project.write("accounts.csv", ACCOUNTS)
    project.write("accounts.parquet", b"PAR1")
    message = project.error("accounts")
    assert "accounts.csv, accounts.parquet" in message
    assert "file:" in message


def test_a_glob_reads_all_its_files_in_name_order(project: Project) -> None:
    for month in ("02", "01", "03"):
        project.write(f"in/pipeline_{month}.csv", f"id\n{month}\n")
    project.write("in/.pipeline_00.csv", "id\n00\n")
    loaded = project.read("leads", datasets={"leads": {"file": "in/pipeline*.csv"}}, columns=[])
    assert loaded.column("id") == ["01", "02", "03"]
    assert loaded.request.parts == [f"in/pipeline_{month}.csv" for month in ("01", "02", "03")]


def test_a_list_of_files_is_read_once_each(project: Project) -> None:
    project.write("a.csv", "id\n1\n")
    project.write("b.csv", "id\n2\n")
    files = ["b.csv", "a.csv", "*.csv"]
    loaded = project.read("leads", datasets={"leads": {"file": files}}, columns=[])
    assert loaded.column("id") == ["1", "2"]


def test_brackets_in_a_name_are_part_of_the_name(project: Project) -> None:
    project.write("sales [2024].csv", "id\n1\n")
    loaded = project.read("leads", datasets={"leads": {"file": "sales [2024].csv"}}, columns=[])
    assert loaded.column("id") == ["1"]


def test_a_missing_folder_is_an_error_with_the_close_name(project: Project) -> None:
    project.write("finance/expenses.csv", "amount\n5\n")
    with pytest.raises(SourceError, match=r"folder finanse does not exist. Did you mean 'finance'"):
        project.connector(path="finanse").datasets()


def test_a_folder_without_datasets_is_an_error_with_the_close_name(project: Project) -> None:
    project.write("opportunity.csv", "id\n1\n")
    with pytest.raises(SourceError, match=r"opportunity.csv is ignored: Did you mean 'opportuni"):
        project.connector().datasets()


def test_an_empty_folder_is_an_error(project: Project) -> None:
    with pytest.raises(SourceError, match="it is empty"):
        project.connector().datasets()


def test_a_glob_without_match_is_an_error_with_the_close_names(project: Project) -> None:
    project.write("exports/sales_pipeline.csv", "id\n1\n")
    message = project.error("leads", datasets={"leads": {"file": "exports/sale_pipeline.csv"}})
    assert "no file matches 'exports/sale_pipeline.csv'" in message
    assert "Did you mean 'sales_pipeline.csv'?" in message
    message = project.error("leads", datasets={"leads": {"file": "export/*.csv"}})
    assert "folder export does not exist. Did you mean 'exports'?" in message


def test_a_dataset_without_its_file_claims_its_columns_and_fails_on_reading(
    project: Project,
) -> None:
    options = {"datasets": {"leads": {"file": "gone.csv"}}}
    assert "status" in supplied(project, **options)["leads"]
    assert "no file matches 'gone.csv'" in project.error("leads", **options)


def test_a_folder_in_place_of_a_file_is_an_error(project: Project) -> None:
    (project.directory / "leads.parquet").mkdir()
    message = project.error("leads", datasets={"leads": {"file": "leads.parquet"}})
    assert "is a folder" in message


def test_an_unknown_dataset_is_an_error_with_the_close_name(project: Project) -> None:
    connector = project.connector(datasets={"oportunities": {"file": "a.csv"}})
    with pytest.raises(ConfigError, match="Did you mean 'opportunities'"):
        connector.datasets()


def test_an_unknown_extension_needs_a_format(project: Project) -> None:
    project.write("leads.dat", "id,status\n1,new\n")
    options = {"file": "leads.dat"}
    assert "set `format:`" in project.error("leads", datasets={"leads": options})
    loaded = project.read(
        "leads", datasets={"leads": {**options, "format": "csv"}}, columns=["status"]
    )
    assert loaded.rows == [{"id": "1", "status": "new"}]


def test_a_text_file_needs_a_delimiter(project: Project) -> None:
    project.write("leads.txt", "id~status\n1~new\n")
    assert "set `delimiter:`" in project.error("leads")
    assert project.read("leads", delimiter="~", columns=["status"]).column("status") == ["new"]


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("leads.csv", b"PK\x03\x04rest", "Excel workbook"),
        ("leads.csv", b"PAR1....", "format: parquet"),
        ("leads.csv", b"\x1f\x8b\x08rest", "extension .gz"),
        ("leads.xlsx", b"PK\x03\x04", "export the sheet as CSV"),
        ("leads.csv.gz", b"id\n1\n", "no whole gzip file"),
        ("leads.parquet", b"id\n1\n", "cannot be read as Parquet"),
        ("leads.parquet.gz", b"x", "compressed Parquet"),
        ("leads.csv", b"", "empty (0 bytes)"),
        ("leads.parquet", b"", "empty (0 bytes)"),
        ("leads.ndjson", b"", "empty (0 bytes)"),
        ("leads.csv", b"\n\n \n", "expected a header line"),
    ],
)
def test_what_is_no_such_file_is_named(
    project: Project, name: str, content: bytes, hint: str
) -> None:
    project.write(name, content)
    assert hint in project.error("leads", datasets={"leads": {"file": name}})


def test_links_and_paths_outside_the_project_are_the_users_choice(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "leads.csv").write_text("id\n7\n")
    monkeypatch.setenv("HOME", str(home))
    (project.directory / "linked.csv").symlink_to(home / "leads.csv")
    outside = os.path.relpath(home / "leads.csv", project.directory)
    for file in ("linked.csv", "~/leads.csv", str(home / "leads.csv"), outside):
        loaded = project.read("leads", datasets={"leads": {"file": file}}, columns=[])
        assert loaded.column("id") == ["7"]
        assert loaded.request.parts == ["linked.csv" if file == "linked.csv" else outside]


def test_an_unreadable_file_is_a_source_error(project: Project) -> None:
    path = project.write("leads.csv", "id\n1\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("the user of the tests may read everything")
    assert "cannot be read: Permission denied" in project.error("leads")


def test_a_file_may_give_two_datasets(project: Project) -> None:
    project.write("sales.csv", "order,total\n1,5\n")
    options = {
        "datasets": {
            "orders": {"file": "sales.csv", "columns": {"id": "order", "total_amount": "total"}},
            "order_items": {"file": "sales.csv", "columns": {"order_id": "order"}},
        }
    }
    assert supplied(project, **options)["orders"] == ("id", "total_amount")
    assert project.read("order_items", columns=["order_id"], **options).rows == [
        {"id": "sales:1", "order_id": "1"}
    ]


def test_headers_are_read_once_until_the_file_changes(project: Project) -> None:
    path = project.write("accounts.csv", ACCOUNTS)
    connector = project.connector()
    assert connector.datasets()[0].columns == ("id", "segment")
    stamp = path.stat()
    path.write_text(ACCOUNTS.replace("segment", "country"))
    os.utime(path, ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
    assert connector.datasets()[0].columns == ("id", "segment")
    os.utime(path, ns=(5, 5))
    assert connector.datasets()[0].columns == ("id", "country")
