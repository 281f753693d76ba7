"""The sink `database` on BigQuery: the real driver against a simulator of the REST interface."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crmetrics_database.address import parse_url
from simulators.bigquery import PROJECT, BigQueryServer

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the driver takes certificates of a test only on Linux"
)
HERE = Path(__file__).parent
datasets = itertools.count(1)
EARLIER = {"period_start": "2026-01-19", "period_end": "2026-01-26"}
EAST = {"segment": {"owner.team": "East"}}


class Place:
    """A dataset of its own, writers in processes of their own, and a way to look inside."""

    def __init__(self, server: BigQueryServer) -> None:
        self.server, self.name = server, f"d{next(datasets)}"
        self.url = server.url(self.name)

    def python(self, script: str, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join([str(HERE.parent), str(HERE)])
        environment = {**os.environ, **self.server.environment, "PYTHONPATH": paths}
        return subprocess.run(
            [sys.executable, str(HERE / script), *words], input=text,
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def write(self, *steps: dict[str, Any]) -> list[Any]:
        asked = json.dumps({"url": self.url, "steps": steps})
        done = self.python("write_rows.py", text=asked)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        return self.server.run(sql.replace("DATASET", f'"{PROJECT}".{self.name}'))

    def tables(self) -> list[str]:
        query = (
            f"select table_name from information_schema.tables where table_schema = '{self.name}'"
        )
        return sorted(name for (name,) in self.run(query))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryServer]:
    with BigQueryServer(tmp_path_factory.mktemp("bigquery")) as server:
        yield server


@pytest.fixture
def place(server: BigQueryServer) -> Place:
    return Place(server)


def test_rows_are_made_restated_and_removed_by_their_key(place: Place) -> None:
    assert place.write(
        {"rows": [{"value": 0.1, "n": 7}, {"value": 0.2, **EAST}, {"value": 0.3, **EARLIER}]},
        {"rows": [{"value": 1 / 3, "n": 7}]},
        {"rows": []},
    ) == [{"merged": 3}, {"merged": 1}, {"merged": 0}]
    as_of = datetime(2026, 2, 2, 7, tzinfo=UTC)
    columns = "segment, value, n, period_start, as_of"
    assert place.run(f"select {columns} from DATASET.kpis order by period_start") == [
        ("{}", 0.3, None, date(2026, 1, 19), as_of),
        ("{}", 1 / 3, 7, date(2026, 1, 26), as_of),
    ]
    assert place.tables() == ["kpis"]


def test_append_keeps_every_run_and_replace_only_the_last(place: Place) -> None:
    append = {"mode": "append", "table": "runs"}
    replace = {"mode": "replace", "table": "last"}
    place.write(
        {"rows": [{"value": 0.4, "run_id": "run-1"}], "options": append},
        {"rows": [{"value": 0.5, "run_id": "run-2"}], "options": append},
        {"rows": [{"value": 0.6, "run_id": "run-2"}], "options": append},
        {"rows": [EARLIER, {**EARLIER, **EAST}], "options": replace},
        {"rows": [{"value": None}], "options": replace},
    )
    assert place.run("select run_id, value from DATASET.runs order by 1") == [
        ("run-1", 0.4),
        ("run-2", 0.6),
    ]
    assert place.run("select value from DATASET.last") == [(None,)]


def test_missing_columns_are_added_and_texts_come_back(place: Place) -> None:
    place.run(f'create schema "{PROJECT}".{place.name}')
    place.run(
        "create table DATASET.kpis (kpi varchar, period_start date, value double, remark text)"
    )
    place.run("insert into DATASET.kpis values ('old', '2026-01-26', 0.1, 'checked by Ann')")
    name = "日本 🎉 'x'; -- \"`\\\n"
    assert place.write({"rows": [{"kpi": name, "value": 5e-324}]}) == [{"merged": 1}]
    found = place.run(
        "select kpi, job, segment, value, remark from DATASET.kpis order by value desc"
    )
    assert found == [
        ("old", "", "{}", 0.1, "checked by Ann"),
        (name, "weekly_sales", "{}", 5e-324, None),
    ]


def test_many_rows_go_up_in_parts(place: Place, server: BigQueryServer) -> None:
    large = {"rows": [{"kpi": "kpi_0", "definition_hash": "x" * 5_000_000}, {"kpi": "b"}]}
    assert place.write(large) == [{"merged": 2}]
    table = f"insert into `{PROJECT}`.`{place.name}`."  # its name alone is in others' ids by chance
    assert len([query for query in server.queries if query.startswith(table)]) == 2


def test_what_does_not_fit_is_refused_and_nothing_stays(place: Place) -> None:
    place.run(f'create schema "{PROJECT}".{place.name}')
    place.run("create table DATASET.kpis (kpi varchar, period_start date, value decimal(9, 2))")
    place.run("create table DATASET.other (id bigint)")
    wrong_type, foreign, twice = place.write(
        {"rows": [{}]},
        {"rows": [{}], "options": {"table": "other"}},
        {"rows": [{"value": 0.1}, {"value": 0.2}], "options": {"table": "fresh"}},
    )
    assert "column 'value' is DECIMAL" in wrong_type
    assert "no column kpi or period_start" in foreign
    assert "two rows for job weekly_sales" in twice
    assert place.tables() == ["fresh", "kpis", "other"]


def test_rows_that_another_program_doubled_are_told(place: Place) -> None:
    place.write({"rows": [{}]})
    place.run("insert into DATASET.kpis select * from DATASET.kpis")
    [told] = place.write({"rows": [{}]})
    assert "the table does not hold what was written" in told
    assert "Nothing was changed" not in told


def test_an_answer_of_503_is_tried_again(place: Place, server: BigQueryServer) -> None:
    server.unavailable = 2
    assert place.write({"rows": [{}]}) == [{"merged": 1}]
    assert server.unavailable == 0


@pytest.mark.parametrize("during", ["maintain", "totals"])
def test_a_killed_delivery_is_made_up_for(place: Place, tmp_path: Path, during: str) -> None:
    asked = {"kind": "database", "options": {"url": place.url}, "folder": str(tmp_path),
             "run_id": "run-1", "value": 0.4}  # fmt: skip
    dying = json.dumps({**asked, "moment": "during", "during": during})
    killed = place.python("deliver_once.py", dying)
    assert killed.returncode == -signal.SIGKILL
    living = json.dumps({**asked, "moment": "never", "during": ""})
    again = place.python("deliver_once.py", living)
    assert again.returncode == 0, again.stderr
    assert place.run("select segment, value from DATASET.kpis order by 1") == [
        ('{"owner.team": "East"}', 0.5),
        ("{}", 0.4),
    ]
    # What the killed one left waiting expires by itself.
    left = [name for name in place.tables() if name != "kpis"]
    made = [query for query in place.server.queries if any(name in query for name in left)]
    assert len(left) == 1
    assert "expiration_timestamp" in made[0]


def test_check_makes_nothing(place: Place) -> None:
    assert place.write({"check": True}) == [["ok"]]
    assert place.tables() == []


@pytest.mark.parametrize(
    "url", ["bigquery://acme-data", "bigquery://Acme Data/x", "bigquery://acme-data/a`b"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected bigquery://PROJECT/DATASET"):
        parse_url(url)
