"""Deliveries that would replace each other are found before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmetrics import Project
from crmetrics.errors import ConfigError

HEAD = """\
version: 1
project: acme
sources: {crm: {connector: csv, path: data}}
metrics: {packs: [sales]}
"""


def findings(folder: Path, text: str, source: str = "path: data") -> list[str]:
    """What is wrong with this project file, as it is printed."""
    (folder / "data").mkdir()
    head = HEAD.replace("path: data", source)
    (folder / "crmetrics.yaml").write_text(head + text, encoding="utf-8")
    try:
        _ = Project(folder).config
    except ConfigError as error:
        return [str(one) for one in error.findings]
    return []


def jobs(*lines: str) -> str:
    return "jobs:\n" + "".join(f"  {line}\n" for line in lines)


def test_two_sinks_of_a_job_with_one_file_are_told_with_both_places(tmp_path: Path) -> None:
    (told,) = findings(
        tmp_path,
        "sinks:\n"
        "  a: {sink: files, path: reports}\n"
        "  b: {sink: files, path: ./reports/../reports/, formats: [html, csv]}\n"
        "jobs:\n"
        "  monthly: {kpis: [won_amount], sinks: [a, b]}\n",
    )
    assert told.startswith("crmetrics.yaml:9:44: jobs.monthly.sinks: 'b' writes reports/monthly_")
    assert "and so does 'a' of the job 'monthly' (crmetrics.yaml:9:41)" in told
    assert "{job}" in told


@pytest.mark.parametrize(
    ("first", "second", "is_told"),
    [
        ("", "", False),  # {job}_{period}
        ("", ", grain: week", False),
        ("name: '{period}'", "", True),
        ("name: '{period}'", ", grain: week", False),
        ("name: '{start}'", "", True),
        ("name: '{start}'", ", grain: week", True),  # a month may begin on a Monday
        ("name: '{grain}/{start}'", ", grain: week", False),
        ("name: '{end}'", ", grain: day", True),
        ("name: 'latest'", ", grain: year", True),
        ("name: '{project}'", "", True),
        ("name: '{job}'", "", False),
    ],
)
def test_two_jobs_of_one_sink_are_told_when_their_names_can_be_the_same(
    tmp_path: Path, first: str, second: str, is_told: bool
) -> None:
    options = f", {first}" if first else ""
    found = findings(
        tmp_path,
        f"sinks:\n  a: {{sink: files, path: reports{options}}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a]}",
               f"y: {{kpis: [won_amount], sinks: [a]{second}}}"),
    )  # fmt: skip
    assert ["writes" in told for told in found] == [True] * is_told


@pytest.mark.parametrize(
    ("options", "is_told"),
    [
        ("path: reports, name: 'x_{period}'", True),  # what {job}_{period} gives for the job x
        ("path: reports, name: 'x_{period}', formats: [json]", False),
        ("path: reports/sub, name: '{job}_{period}'", False),
        ("path: ., name: 'reports/{job}_{start}'", False),
        ("path: ., name: 'reports/{job}_{period}'", True),
    ],
)
def test_templates_are_compared_by_what_they_give(
    tmp_path: Path, options: str, is_told: bool
) -> None:
    found = findings(
        tmp_path,
        f"sinks:\n  a: {{sink: files, path: reports}}\n  b: {{sink: files, {options}}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a, b]}"),
    )
    assert bool(found) == is_told


def test_checksums_of_two_formats_are_one_file(tmp_path: Path) -> None:
    sink = "{sink: files, path: 's3://acme/kpis', checksums: true, formats: "
    (told,) = findings(
        tmp_path,
        f"sinks:\n  a: {sink}[csv]}}\n  b: {sink}[json]}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a, b]}"),
    )
    assert "s3://acme/kpis/x_2022" in told
    assert ".sha256" in told


DUCKDB = "duckdb:///r.duckdb"
ODBC = "mssql:///?odbc_connect="
POSTGRES = "postgresql://u:hidden@db.acme.com/kpis"


@pytest.mark.parametrize(
    ("first", "second", "is_told"),
    [
        ("mode: upsert", "mode: replace", True),
        ("mode: upsert", "mode: append", True),
        ("mode: upsert", "mode: upsert", False),
        ("mode: upsert, table: kpis", "mode: replace, table: latest", False),
        ("mode: upsert, table: kpis", "mode: replace, table: main.KPIS", True),
    ],
)
def test_one_table_is_kept_in_one_way(
    tmp_path: Path, first: str, second: str, is_told: bool
) -> None:
    found = findings(
        tmp_path,
        f"sinks:\n  a: {{sink: database, url: '{DUCKDB}', {first}}}\n"
        f"  b: {{sink: database, url: 'duckdb:///./sub/../r.duckdb', {second}}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a, b]}"),
    )
    assert ["r.duckdb:main.kpis" in told for told in found] == [True] * is_told


def test_the_two_ways_of_a_table_are_told_with_both_places(tmp_path: Path) -> None:
    (told,) = findings(
        tmp_path,
        f"sinks:\n  a: {{sink: database, url: '{DUCKDB}'}}\n"
        f"  b: {{sink: database, url: '{DUCKDB}', mode: replace}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a, b]}"),
    )
    assert told.startswith("crmetrics.yaml:9:38: jobs.x.sinks: 'b' keeps r.duckdb:main.kpis of")
    assert "with mode replace, and 'a' of the job 'x' (crmetrics.yaml:9:35) with mode ups" in told
    assert "(`table`)" in told


@pytest.mark.parametrize(
    ("mode", "is_told"),
    [
        ("replace", False),  # of its own job only
        ("append", True),  # the table's key has the run in it, or has not
    ],
)
def test_two_jobs_may_share_a_table_with_one_key(tmp_path: Path, mode: str, is_told: bool) -> None:
    found = findings(
        tmp_path,
        f"sinks:\n  a: {{sink: database, url: '{DUCKDB}'}}\n"
        f"  b: {{sink: database, url: '{DUCKDB}', mode: {mode}}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a]}", "y: {kpis: [won_amount], sinks: [b]}"),
    )
    assert bool(found) == is_told


@pytest.mark.parametrize(
    ("second", "is_told"),
    [
        ("postgresql://v@DB.acme.com:5432/kpis", True),
        ("postgresql://u@db.acme.com:5433/kpis", False),
        ("postgresql://u@db.acme.com/kpis?options=-csearch_path%3Dsales", False),
    ],
)
def test_a_table_of_a_server_is_known_however_it_is_written(
    tmp_path: Path, second: str, is_told: bool
) -> None:
    found = findings(
        tmp_path,
        f"sinks:\n  a: {{sink: database, url: '{POSTGRES}', table: public.kpis}}\n"
        f"  b: {{sink: database, url: '{second}', mode: append}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a, b]}"),
    )
    assert bool(found) == is_told
    assert "hidden" not in "".join(found)


@pytest.mark.parametrize(
    ("host", "is_told"), [("/run/eu", True), ("/run/us", False), ("db.acme.com", False)]
)
def test_a_server_behind_a_socket_is_known_by_its_folder(
    tmp_path: Path, host: str, is_told: bool
) -> None:
    found = findings(
        tmp_path,
        "sinks:\n  a: {sink: database, url: 'postgresql://u@/kpis?host=/run/eu'}\n"
        f"  b: {{sink: database, url: 'postgresql://u@/kpis?host={host}', mode: append}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a, b]}"),
    )
    assert bool(found) == is_told


@pytest.mark.parametrize(
    ("first", "second", "is_told"),
    [
        ("postgresql:///kpis?host=/run/pg&port=5432", "postgresql:///kpis?host=/run/pg", True),
        ("postgresql:///kpis?host=/run/pg", "postgresql:///kpis?host=/run/pg&port=5433", False),
        ("postgresql://%2Frun%2Fpg/kpis", "postgresql:///kpis?host=/run/pg", True),
        ("postgresql://db:5433/kpis", "postgresql://db/kpis?port=5433", True),
        ("postgresql://old/kpis?host=db", "postgresql://db/kpis", True),
        ("postgresql://old/kpis?host=db", "postgresql://old/kpis", False),
        ("postgresql:///kpis?hostaddr=10.0.0.1", "postgresql:///kpis?hostaddr=10.0.0.2", False),
        ("postgresql://db/kpis?hostaddr=10.0.0.1", "postgresql://10.0.0.1/kpis", True),
        ("postgresql:///?service=eu", "postgresql:///?service=us", False),
        ("postgresql:///?service=eu", "postgresql:///?service=eu&sslmode=require", True),
        ("postgresql://db/?dbname=kpis", "postgresql://db/kpis", True),
        ("postgresql://ann@db", "postgresql://bob@db", False),
        ("mysql:///kpis?unix_socket=/run/a", "mysql:///kpis?unix_socket=/run/b", False),
        ("mysql://db/kpis?charset=utf8mb4", "mysql://db/kpis", True),
        ("mssql://db/kpis?instance=eu", "mssql://db/kpis?instance=us", False),
        (f"{ODBC}Server%3Deu%3BPWD%3Dhidden", f"{ODBC}Server%3Dus%3BPWD%3Dhidden", False),
        (f"{ODBC}Server%3Deu%3BPWD%3D{{hidden%3BServer%3Dhidden}}", f"{ODBC}Server%3Deu", True),
        ("snowflake://u@h:443/d/s?account=eu", "snowflake://u@h:443/d/s?account=us", False),
    ],
)  # fmt: skip
def test_options_of_a_url_tell_servers_apart(
    tmp_path: Path, first: str, second: str, is_told: bool
) -> None:
    found = findings(
        tmp_path,
        f"sinks:\n  a: {{sink: database, url: '{first}'}}\n"
        f"  b: {{sink: database, url: '{second}', mode: append}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a, b]}"),
    )
    assert bool(found) == is_told
    assert "hidden" not in "".join(found)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ("", "duckdb:///.crmetrics/warehouse.duckdb"),
        ("", "duckdb:///./data/../.crmetrics/warehouse.duckdb"),
        ("warehouse: {path: kpis.duckdb}\n", "duckdb:///kpis.duckdb"),
    ],
)
def test_the_warehouse_is_no_destination(tmp_path: Path, settings: str, url: str) -> None:
    (told,) = findings(
        tmp_path,
        f"{settings}sinks:\n  history: {{sink: database, url: '{url}'}}\n"
        + jobs("x: {kpis: [won_amount], sinks: [history]}"),
    )
    assert "sinks.history: " in told
    assert "is the project's own warehouse" in told


def test_a_database_beside_the_warehouse_is_a_destination(tmp_path: Path) -> None:
    assert not findings(
        tmp_path,
        "sinks:\n  history: {sink: database, url: 'duckdb:///.crmetrics/kpis.duckdb'}\n"
        + jobs("x: {kpis: [won_amount], sinks: [history]}"),
    )


@pytest.mark.parametrize(
    ("source", "sink", "is_told"),
    [
        ("path: data", "path: data, name: opportunities", True),
        ("path: data", "path: ./x/../data, name: opportunities, formats: [json]", True),
        ("path: data", "path: data, name: opportunities, formats: [html]", False),
        ("path: data", "path: data, name: results", False),
        ("path: data", "path: data/out, name: opportunities", False),
        ("datasets: {leads: {file: in/my.csv}}", "path: in, name: my", True),
        ("datasets: {leads: {file: in/my.csv}}", "path: ., name: opportunities", False),
        ("datasets: {leads: {file: 'in/*.csv'}}", "path: in", True),  # read with the next run
        ("datasets: {leads: {file: 'in/*.csv'}}", "path: in/out", False),
        ("datasets: {leads: {file: 'in/**/x_*.csv'}}", "path: in/out", True),
        ("path: in, datasets: {leads: {file: '[my].csv'}}", "path: in, name: '[my]'", True),
    ],
)
def test_what_a_source_reads_is_no_destination(
    tmp_path: Path, source: str, sink: str, is_told: bool
) -> None:
    found = findings(
        tmp_path,
        f"sinks:\n  a: {{sink: files, {sink}}}\n" + jobs("x: {kpis: [won_amount], sinks: [a]}"),
        source=source,
    )
    assert ["which the source 'crm' (crmetrics.yaml:3:11) reads" in one for one in found] == (
        [True] * is_told
    )


def test_a_sink_that_no_job_uses_is_in_nobodys_way(tmp_path: Path) -> None:
    assert not findings(
        tmp_path,
        "sinks:\n  a: {sink: files, path: reports}\n  b: {sink: files, path: reports}\n"
        + jobs("x: {kpis: [won_amount], sinks: [a]}", "y: {kpis: [won_amount], sinks: [b]}"),
    )


def test_fifty_jobs_are_looked_at_in_no_time(tmp_path: Path) -> None:
    names = [f"{{kpis: [won_amount], grain: {grain}, sinks: [a]}}"
             for grain in ("day", "week", "month", "quarter", "year") * 10]  # fmt: skip
    text = "sinks:\n  a: {sink: files, path: reports, formats: [csv, json, html]}\n" + jobs(
        *(f"j{number}: {job}" for number, job in enumerate(names))
    )
    assert findings(tmp_path, text) == []
