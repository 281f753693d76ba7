"""A wrong project tells everything that is wrong at once, whatever was asked of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from crmetrics.cli.app import app
from crmetrics.engine import Project
from crmetrics.errors import ConfigError
from crmetrics.testing.projects import load_tables

NOW = datetime(2026, 2, 3, tzinfo=UTC)

EVERY_KIND = """\
version: 1
projct: acme
reporting: {timezone: Europe/Berlin, currency: EUROS}
plugins: [no_such_module]
sources:
  files:
    connector: cvs
    path: data
  more:
    connector: csv
    path: ${NO_SUCH_FOLDER}
    datasets:
      oportunities: {file: a.csv}
metrics:
  packs: [salse, leads]
  disable: [won_amont]
  settings:
    min_sampel: 3
    win_rat: {min_sample: 5}
    won_amount: {no_such_setting: 3}
goals:
  - title: Close more
    kpi: win_rte
    objective: growth
    baseline: 0.3
    target: high
    start: 2026-01-01
    due: 2026-06-30
    owner: sales
    rationale: new step
    guardrails: {avarage_deal_size: {min: 3}}
    segment: {owner.tem: East}
sinks:
  reports: {sink: fils, path: reports}
jobs:
  weekly:
    grain: wek
    kpis: [win_rte, average_deal_size.medain, won_amount, deals]
    by: [owner.tem]
    where: amuont > 3 and nosuch = 2
    sinks: [reprts]
"""
EVERY_KIND_FOUND = {
    (2, 1, "'projct'"),
    (3, 48, "EUROS"),
    (4, 11, "no_such_module"),
    (7, 16, "'csv'"),
    (11, 11, "NO_SUCH_FOLDER"),
    (13, 7, "'opportunities'"),
    (15, 11, "'sales'"),
    (16, 13, "'won_amount'"),
    (18, 5, "'min_sample'"),
    (19, 5, "'win_rate'"),
    (20, 18, "no_such_setting"),
    (23, 10, "'win_rate'"),
    (26, 13, "expected a number"),
    (31, 18, "'average_deal_size'"),
    (34, 19, "'files'"),
    (37, 12, "'week'"),
    (38, 12, "'win_rate'"),
    (38, 21, "'median'"),
    (39, 10, "'owner.team'"),
    (40, 12, "'amount'"),
    (40, 12, "'nosuch'"),
    (41, 13, "'reports'"),
}
OWN = """\
kpis:
  deals:
    title: Deals
    unit: cuont
    better: higher
    from: opportunities
    time: close_dat
    where: is_wonn
    value: sum(amuont)
    dimensions: [owner.tem]
    variants:
      counted: {value: count(*), coverage: {late: count(*) filter (where foo)}}
  per_deal:
    title: Per deal
    unit: currency
    better: higher
    inputs: {won: {kpi: won_amount}, deals: {kpi: dealz}}
    value: won / deals
  built:
    title: Built
    unit: count
    better: higher
    from: built_rows
    value: count(*)
"""
OWN_FOUND = {
    ("metrics/own.yaml", 4, 11, "'count'"),
    ("metrics/own.yaml", 7, 11, "'close_date'"),
    ("metrics/own.yaml", 8, 12, "'is_won'"),
    ("metrics/own.yaml", 9, 12, "'amount'"),
    ("metrics/own.yaml", 10, 17, "'owner.team'"),
    ("metrics/own.yaml", 12, 51, "'foo'"),
    ("metrics/own.yaml", 17, 51, "'deals'"),
    ("metrics/sql/built_rows.sql", 1, 1, "nosuch"),
}


def write(directory: Path, text: str, own: str = "") -> Project:
    (directory / "crmetrics.yaml").write_text(text, encoding="utf-8")
    if own:
        (directory / "metrics" / "sql").mkdir(parents=True)
        (directory / "metrics" / "own.yaml").write_text(own, encoding="utf-8")
        model = directory / "metrics" / "sql" / "built_rows.sql"
        model.write_text("select period_start, nosuch from periods", encoding="utf-8")
    return Project(directory, environ={}, now=lambda: NOW)


def found_by(ask: Callable[[], object]) -> list[tuple[str, int, int, str]]:
    with pytest.raises(ConfigError) as caught:
        ask()
    return [
        (item.file, item.line, item.column, f"{item.message} {item.hint}")
        for item in caught.value.findings
    ]


def messages(project: Project) -> list[str]:
    return [f"{line}: {text}" for _, line, _, text in found_by(lambda: project.catalog)]


def unmatched(
    found: list[tuple[str, int, int, str]], expected: set[tuple[str, int, int, str]]
) -> list[object]:
    """What was expected and not found, and what was found and not expected; each once."""
    left: list[object] = []
    open_findings = list(found)
    for wanted in sorted(expected):
        match = next((it for it in open_findings if it[:3] == wanted[:3] and wanted[3] in it[3]), 0)
        if isinstance(match, tuple):
            open_findings.remove(match)
        else:
            left.append(wanted)
    return [*left, *open_findings]


def test_one_look_finds_every_kind_of_fault(tmp_path: Path) -> None:
    project = write(tmp_path, EVERY_KIND, OWN)
    expected = {("crmetrics.yaml", *rest) for rest in EVERY_KIND_FOUND} | OWN_FOUND
    assert unmatched(found_by(lambda: project.config), expected) == []


def test_a_message_lists_what_the_project_does_not_use_too(tmp_path: Path) -> None:
    project = write(tmp_path, "sources: {a: {connector: cvs}}\nsinks: {b: {sink: fils}}\n")
    with pytest.raises(ConfigError) as caught:
        project.config  # noqa: B018
    connector, sink = (finding.message for finding in caught.value.findings)
    assert "expected one of csv, hubspot, salesforce." in connector
    assert "one of database, email, files, google_chat, slack, teams, webhook." in sink


def test_every_command_tells_the_same(tmp_path: Path) -> None:
    write(tmp_path, EVERY_KIND, OWN)
    told = []
    for command in (
        ["check"], ["plan"], ["sync"], ["run", "weekly"], ["query", "deals"], ["explain", "deals"],
        ["rows", "deals"], ["list", "kpis"], ["list", "jobs"], ["history", "deals"],
    ):  # fmt: skip
        done = CliRunner().invoke(app, ["-C", str(tmp_path), *command])
        assert done.exit_code == 2, command
        assert done.stdout == ""
        told.append(done.stderr)
    assert told[0].count("\n") == len(EVERY_KIND_FOUND) + len(OWN_FOUND)
    assert set(told) == {told[0]}


def test_names_and_definitions_are_told_where_the_form_is_right(tmp_path: Path) -> None:
    text = (
        "metrics: {packs: [sales]}\n"
        "jobs:\n"
        "  weekly: {kpis: [win_rte, won_amount], by: [[owner.tem], [nosuch]]}\n"
    )
    project = write(tmp_path, text, OWN)
    expected = OWN_FOUND | {
        ("crmetrics.yaml", 3, 19, "'win_rate'"),
        ("crmetrics.yaml", 3, 47, "'owner.team'"),
        ("crmetrics.yaml", 3, 60, "nosuch"),
    }
    assert unmatched(found_by(project.sync), expected) == []


def test_a_definition_found_wrong_when_asked_for_brings_the_others(tmp_path: Path) -> None:
    good = "kpis:\n  {name}:\n    title: T\n    unit: count\n    better: higher\n"
    own = good.replace("{name}", "one") + "    from: opportunities\n    time: close_date\n"
    own += "    value: sum(first)\n"
    other = own.replace("kpis:\n", "").replace("one:", "two:").replace("first", "second")
    project = write(tmp_path, "metrics: {packs: []}\n", own + other)
    day = datetime(2026, 1, 7, tzinfo=UTC)
    deal = {"id": ["a"], "close_date": pa.array([day.date()]), "amount": [1.5]}
    load_tables(tmp_path, {"opportunities": pa.table(deal)})
    found = found_by(lambda: project.query(["one"], period="2026-01"))
    assert [(line, column) for _, line, column, _ in found] == [(8, 12), (15, 12)]


# --- what follows from another fault is not told -------------------------------------------------


def test_the_kpis_of_a_misspelt_pack_are_not_unknown(tmp_path: Path) -> None:
    text = (
        "metrics: {packs: [salse], disable: [won_amount], settings: {win_rate: {min_sample: 3}}}\n"
        "jobs: {a: {kpis: [win_rate.by_amount, average_deal_size], by: [owner.team]}}\n"
    )
    (told,) = messages(write(tmp_path, text))
    assert told.startswith("1: unknown pack 'salse'. Did you mean 'sales'?")


def test_while_a_pack_is_missing_only_what_is_surely_misspelt_is_unknown(tmp_path: Path) -> None:
    text = (
        "metrics: {packs: [sales, zzz], settings: {tickets_per_cow: {herd: 3}}}\n"
        "jobs: {a: {kpis: [win_rat, tickets_per_cow]}}\n"
    )
    told = messages(write(tmp_path, text))
    assert [line.partition(" '")[2][:8] for line in told] == ["zzz'. Kn", "win_rat'"]


def test_a_pack_named_by_a_missing_variable_leaves_its_kpis_open(tmp_path: Path) -> None:
    text = "metrics: {packs: ['${PACK}']}\njobs: {a: {kpis: [win_rate_of_ours]}}\n"
    project = write(tmp_path, text)
    (told,) = [text for *_, text in found_by(lambda: project.config)]
    assert "variable PACK is not set" in told


def test_a_kpi_of_a_pack_that_is_not_enabled_says_which(tmp_path: Path) -> None:
    text = "metrics: {packs: [leads]}\njobs: {a: {kpis: [win_rate]}}\n"
    (told,) = messages(write(tmp_path, text))
    assert "in the pack 'sales': enable it under metrics.packs" in told


def test_a_disabled_kpi_of_a_job_says_that_it_is_disabled(tmp_path: Path) -> None:
    text = "metrics: {packs: [sales], disable: [win_rate]}\njobs: {a: {kpis: [win_rate]}}\n"
    (told,) = messages(write(tmp_path, text))
    assert "left out by metrics.disable" in told


def test_a_definition_file_that_cannot_be_read_leaves_its_kpis_open(tmp_path: Path) -> None:
    text = "metrics: {packs: [sales]}\njobs: {a: {kpis: [our_number, win_rat]}}\n"
    project = write(tmp_path, text, "kpis: [\n")
    told = found_by(lambda: project.catalog)
    assert [(file, line) for file, line, _, _ in told] == [
        ("crmetrics.yaml", 2),
        ("metrics/own.yaml", 2),
    ]
    assert "win_rat'" in told[0][3]


def test_what_computes_with_a_wrong_kpi_is_not_wrong_itself(tmp_path: Path) -> None:
    own = (
        "kpis:\n"
        "  base: {title: B, unit: count, better: higher, from: nowhere, time: d, value: count(*)}\n"
        "  above: {title: A, unit: count, better: higher, inputs: {b: {kpi: base}}, value: b * 2}\n"
    )
    text = "metrics: {packs: [sales]}\njobs: {a: {kpis: [above, base, nosuch], by: [x]}}\n"
    told = found_by(lambda: write(tmp_path, text, own).catalog)
    assert [(file, line) for file, line, _, _ in told] == [
        ("crmetrics.yaml", 2),
        ("metrics/own.yaml", 2),
    ]
    assert "nosuch" in told[0][3] and "nowhere" in told[1][3]


def test_a_fault_of_the_default_is_told_once_for_all_variants(tmp_path: Path) -> None:
    own = OWN[: OWN.index("    where")] + "    value: sum(amuont)\n    variants:\n"
    own += "      won: {where: is_won}\n      lost: {where: not is_won}\n"
    own = own.replace("cuont", "count").replace("close_dat", "close_date")
    text = "metrics: {packs: [sales]}\njobs: {a: {kpis: [nosuch]}}\n"
    told = found_by(lambda: write(tmp_path, text, own).catalog)
    assert len(told) == 2


def test_nothing_follows_from_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    project = write(tmp_path, "metrics: {packs: [sales]\njobs:\n", OWN.replace("cuont", "count"))
    told = found_by(lambda: project.config)
    assert {file for file, *_ in told if file == "crmetrics.yaml"}
    assert not any("won_amount" in text for *_, text in told)


@pytest.mark.parametrize(
    ("others", "way"),
    [
        ({"other_side": "select start_at from built_rows"}, "built_rows -> other_side"),
        (
            {
                "other_side": "with third as (select 1) select start_at from third",
                "third": "select start_at from other_side",
            },
            "other_side -> third",
        ),
    ],
)
def test_models_that_read_each_other_are_told_with_the_way(
    tmp_path: Path, others: dict[str, str], way: str
) -> None:
    own = OWN[: OWN.index("  deals:")] + OWN[OWN.index("  built:") :]
    project = write(tmp_path, "metrics: {packs: [sales]}\n", own)
    models = {"built_rows": "select start_at from other_side", **others}
    for name, text in models.items():
        (tmp_path / "metrics" / "sql" / f"{name}.sql").write_text(text, encoding="utf-8")
    load_tables(tmp_path, {"opportunities": pa.table({"id": ["a"]})})
    ((file, line, _, told),) = found_by(lambda: project.query(["built"], period="2026-01"))
    first = way.partition(" ")[0]
    assert (file, line) == (f"metrics/sql/{first}.sql", 1)
    assert f"{way} -> {first}. " in told and "rename one" in told


def test_a_right_project_has_no_findings(tmp_path: Path) -> None:
    text = (
        "metrics:\n"
        "  packs: [sales, leads]\n"
        "  disable: [stage_duration]\n"
        "  settings: {win_rate: {exclude_lost_reasons: [x]}, lead_response_time: {min_sample: 3}}\n"
        "jobs: {a: {kpis: [win_rate.by_amount], by: [owner.team], where: amount > 3}}\n"
    )
    assert "win_rate" in write(tmp_path, text).catalog.kpis
