"""`crmetrics query`, `rows`, `explain` and `history` on a small project."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result

Call = Callable[..., Result]


def rows_of(call: Call, project: Path, *arguments: str) -> list[dict[str, Any]]:
    result = call("-C", project, *arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def ask(call: Call, project: Path, *arguments: str) -> list[dict[str, Any]]:
    return rows_of(call, project, "query", *arguments, "--period", "2024-01")


# --- query -----------------------------------------------------------------------------------


def test_json_is_an_array_of_result_rows(call: Call, project: Path) -> None:
    (row,) = ask(call, project, "win_rate")
    assert row["value"] == 0.6
    assert row["segment"] == {}
    assert (row["period_start"], row["period_end"]) == ("2024-01-01", "2024-02-01")
    assert (row["numerator"], row["denominator"], row["n"]) == (3.0, 5.0, 5)
    assert "low_sample" in row["flags"]


def test_a_segment_is_an_object_and_null_is_the_text_none(call: Call, project: Path) -> None:
    rows = ask(call, project, "win_rate", "--by", "owner.team")
    found = {row["segment"]["owner.team"]: row["value"] for row in rows}
    assert found == {"EMEA": 1.0, "(none)": pytest.approx(1 / 3)}


def test_a_comma_groups_by_both_and_a_repeat_gives_two_groupings(call: Call, project: Path) -> None:
    both = ask(call, project, "win_rate", "--by", "owner.team,owner_id")
    apart = ask(call, project, "win_rate", "--by", "owner.team", "--by", "owner_id", "--totals")
    assert {tuple(row["segment"]) for row in both} == {("owner.team", "owner_id")}
    assert [tuple(row["segment"]) for row in apart].count(()) == 1
    assert {tuple(row["segment"]) for row in apart} == {(), ("owner.team",), ("owner_id",)}


def test_the_table_for_people(
    call: Call, project: Path, golden: Callable[[str, str], None]
) -> None:
    result = call(
        "-C", project, "query", "win_rate", "won_amount", "sales_cycle_length",
        "average_deal_size.median",
        "--period", "2024-01", "--by", "owner.team", "--totals", "--compare", "previous",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    golden("cli/query_table.txt", result.stdout)


def test_csv_has_the_same_rows(call: Call, project: Path) -> None:
    result = call("-C", project, "query", "win_rate", "--period", "2024-01", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert float(row["value"]) == 0.6


def test_parquet_goes_to_a_file(call: Call, project: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    result = call("-C", project, "query", "win_rate", "--period", "2024-01", "-o", file)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert pq.read_table(file)["value"].to_pylist() == [0.6]


def test_parquet_without_a_file_fails_before_any_work(call: Call, project: Path) -> None:
    result = call("-C", project, "query", "win_rate", "--format", "parquet")
    assert result.exit_code == 2
    assert not (project / ".crmetrics").exists()


def test_from_is_inclusive_and_to_exclusive(call: Call, project: Path) -> None:
    rows = rows_of(
        call, project, "query", "won_amount", "--from", "2024-01-01", "--to", "2024-02-01",
        "--grain", "day",
    )  # fmt: skip
    assert len(rows) == 31
    assert sum(row["value"] or 0 for row in rows) == 12_000


def test_where_narrows_the_rows(call: Call, project: Path) -> None:
    (row,) = ask(call, project, "win_rate", "--where", "owner.team = 'EMEA'")
    assert row["value"] == 1.0


def test_as_of_a_day_before_the_data_sees_none(call: Call, project: Path) -> None:
    (row,) = ask(call, project, "win_rate", "--as-of", "2023-06-01")
    assert row["value"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["win_rat"], "Did you mean 'win_rate'?"),
        (["win_rate.by_amoun"], "Did you mean 'by_amount'?"),
        (["win_rate", "--by", "owner.tem"], "owner.tem"),
        (["win_rate", "--by", "owner.team,"], "expects names"),
        (["win_rate", "--where", "no_such = 1"], "no_such"),
        (["win_rate", "--period", "2024-13"], "2024-13"),
        (["win_rate", "--from", "soon"], "soon"),
        (["win_rate", "--period", "2024", "--from", "2024-01-01"], "not both"),
        (["win_rate", "--as-of", "yesterday-ish"], "yesterday-ish"),
        (["win_rate", "-o", "/no/such/folder/x.csv"], "cannot write"),
    ],
)
def test_what_does_not_exist_is_a_usage_error(
    call: Call, project: Path, arguments: list[str], words: str
) -> None:
    result = call("-C", project, "query", *arguments)
    assert result.exit_code == 2, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_the_project_may_be_named_behind_the_command(call: Call, project: Path) -> None:
    result = call("query", "win_rate", "--period", "2024-01", "--project", project)
    assert result.exit_code == 0, result.stderr


def test_quiet_leaves_standard_error_empty(call: Call, project: Path) -> None:
    result = call("-q", "-C", project, "query", "win_rate", "--period", "2024-01")
    assert result.exit_code == 0
    assert result.stderr == ""


def test_a_wrong_project_file_shows_every_problem_with_its_place(call: Call, project: Path) -> None:
    text = (project / "crmetrics.yaml").read_text("utf-8")
    (project / "crmetrics.yaml").write_text(
        text.replace("connector: csv", "connector: cvs").replace("grain: month", "grain: moth")
    )
    result = call("-C", project, "query", "win_rate")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.split(":")[:2] for line in lines] == [
        ["crmetrics.yaml", "4"],
        ["crmetrics.yaml", "20"],
    ]


def test_no_project_says_how_to_start(call: Call, tmp_path: Path) -> None:
    result = call("-C", tmp_path, "query", "win_rate")
    assert result.exit_code == 2
    assert "crmetrics init" in result.stderr


# --- rows and explain ------------------------------------------------------------------------


def test_rows_are_the_records_behind_the_number(call: Call, project: Path) -> None:
    rows = rows_of(call, project, "rows", "win_rate", "--period", "2024-01")
    assert [row["record"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["in_numerator"] for row in rows] == [True, True, True, False, False]
    assert {row["source"] for row in rows} == {"crm"}


def test_rows_on_the_screen_are_limited_and_say_so(call: Call, project: Path) -> None:
    result = call("-C", project, "rows", "win_rate", "--period", "2024-01", "--limit", "2")
    assert len(result.stdout.splitlines()) == 4
    assert "2 of 5 rows; --limit 0 shows all." in result.stderr


def test_rows_show_dimensions_as_columns(call: Call, project: Path) -> None:
    result = call("-C", project, "rows", "win_rate", "--period", "2024-01", "--by", "owner.team")
    assert "owner.team" in result.stdout.splitlines()[0]
    assert "EMEA" in result.stdout


def test_explain_shows_definition_counts_and_value(call: Call, project: Path) -> None:
    result = call("-C", project, "explain", "win_rate", "--period", "2024-01")
    assert result.exit_code == 0, result.stderr
    for words in ("Win rate (win_rate)", "Denominator", "opportunities: loaded", "60.0 %"):
        assert words in result.stdout


def test_explain_sql_is_nothing_but_sql(call: Call, project: Path) -> None:
    result = call("-C", project, "explain", "win_rate", "--sql", "--period", "2024-01")
    assert result.stdout.rstrip().endswith(";")
    assert "Win rate" not in result.stdout.partition("\n")[0]


def test_explain_json_is_one_document(call: Call, project: Path) -> None:
    result = call("-C", project, "explain", "win_rate", "--json", "--period", "2024-01")
    document = json.loads(result.stdout)
    assert document["kpi"] == "win_rate"
    assert document["results"][0]["value"] == 0.6
    assert document["needs"]["opportunities"]


def test_correlate_says_what_goes_with_what_and_when_it_cannot_be_told(
    call: Call, project: Path
) -> None:
    result = call("-C", project, "correlate", "win_rate", "won_amount")
    assert result.exit_code == 0
    assert "1 month later" in result.stdout
    assert "cannot be told: fewer than 12 pairs" in result.stdout
    rows = rows_of(call, project, "correlate", "win_rate", "won_amount")
    assert [row["lag"] for row in rows] == [0, 1, 2, 3]


# --- history ---------------------------------------------------------------------------------


def test_history_shows_each_version_of_a_value(call: Call, project: Path) -> None:
    call("-C", project, "run", "--date", "2024-01-31")
    deals = project / "data" / "opportunities.csv"
    deals.write_text(deals.read_text().replace("2024-01-16,true,false", "2024-01-16,true,true"))
    call("-C", project, "run", "--date", "2024-01-31")
    rows = rows_of(call, project, "history", "win_rate")
    assert [(row["version"], row["value"]) for row in rows] == [(2, 0.8), (1, 0.6)]
    table = call("-C", project, "history", "win_rate").stdout
    assert "2024-01  80.0 %" in table


def test_history_before_any_run_is_empty_and_says_why(call: Call, project: Path) -> None:
    result = call("-C", project, "history", "win_rate")
    assert result.exit_code == 0
    assert "No run has reported 'win_rate' yet" in result.stderr
    assert not (project / ".crmetrics").exists()
