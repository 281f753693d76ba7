"""The core sections: reporting, warehouse, plugins, jobs, goals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from config.stand_ins import ProjectFolder

GOAL = {
    "title": "t",
    "kpi": "win_rate",
    "objective": "growth",
    "baseline": "0.3",
    "target": "0.4",
    "start": "2026-01-01",
    "due": "2026-06-30",
    "owner": "o",
    "rationale": "r",
    "guardrails": "{csat: {min: 0.8}}",
}


def goals(*changes: Mapping[str, str | None]) -> str:
    """A project file with a goal per set of changes; None leaves a key out."""
    items = []
    for change in changes:
        goal = {key: value for key, value in {**GOAL, **change}.items() if value is not None}
        items.append("  - {" + ", ".join(f"{key}: {value}" for key, value in goal.items()) + "}\n")
    return "goals:\n" + "".join(items)


# --- the top -----------------------------------------------------------------------------------


def test_an_unknown_key_is_told_at_the_key_with_what_was_meant(folder: ProjectFolder) -> None:
    message = folder.message("project: a\nsorces: {}\n")
    assert message.startswith("crmetrics.yaml:2:1: unknown key 'sorces', expected one of version,")
    assert message.endswith("Did you mean 'sources'?")


@pytest.mark.parametrize("version", ["1", "'1'"])
def test_version_1_is_read(folder: ProjectFolder, version: str) -> None:
    assert folder.load(f"version: {version}\n").project


@pytest.mark.parametrize("version", ["2", "0", "1.5", "one", "true"])
def test_another_version_is_refused(folder: ProjectFolder, version: str) -> None:
    assert folder.message(f"version: {version}\n").startswith("crmetrics.yaml:1:10: version:")


@pytest.mark.parametrize("section", ["sources", "sinks", "jobs", "metrics", "reporting"])
def test_a_section_that_is_a_list_is_told(folder: ProjectFolder, section: str) -> None:
    message = folder.message(f"{section}: [a]\n")
    assert f"{section}: expected a mapping of keys to values, found a list." in message


@pytest.mark.parametrize("name", ["a b", "../x", "a/b", ".hidden", "''"])
@pytest.mark.parametrize("section", ["sources", "sinks", "jobs"])
def test_a_name_that_no_file_or_command_line_could_carry_is_refused(
    folder: ProjectFolder, section: str, name: str
) -> None:
    assert any(
        "expected a name of letters, digits" in message and ":2:3:" in message
        for message in folder.messages(f"{section}:\n  {name}: {{}}\n")
    )


@pytest.mark.parametrize("section", ["sources", "sinks", "jobs"])
def test_a_name_that_no_file_could_have_is_refused(folder: ProjectFolder, section: str) -> None:
    def told(name: str) -> list[str]:
        messages = folder.messages(f"{section}:\n  {name}: {{}}\n")
        return [message for message in messages if "a name of at most 64 characters" in message]

    assert told("x" * 64) == []
    [message] = told("x" * 65)
    assert ":2:3:" in message


def test_plugins_are_dotted_module_names(folder: ProjectFolder) -> None:
    assert folder.load("plugins: [acme_crm, acme.sinks]\n").plugins == ("acme_crm", "acme.sinks")
    message = folder.message("plugins: [acme-crm]\n")
    assert message.startswith("crmetrics.yaml:1:11: plugins[0]: expected the dotted name")


# --- reporting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("{timezone: New York}", "Did you mean 'America/New_York'?"),
        ("{timezone: Europe/Berln}", "Did you mean 'Europe/Berlin'?"),
        ("{timezone: localtime}", "expected an IANA time zone"),
        ("{timezone: ../etc/passwd}", "expected an IANA time zone"),
        ("{timezone: ''}", "expected an IANA time zone"),
        ("{currency: EURO}", "expected a currency code of three letters such as USD, found 'EURO'"),
        ("{currency: '1€2'}", "expected a currency code"),
        ("{week_start: mon}", "Did you mean 'monday'?"),
        ("{fiscal_year_start: 02-29}", "the day at most 28, found '02-29'"),
        ("{fiscal_year_start: 13-01}", "expected month and day as MM-DD"),
        ("{fiscal_year_start: 2026-02-01}", "expected month and day as MM-DD"),
        ("{fiscal_year_start: 4}", "expected month and day as MM-DD"),
        ("{zone: UTC}", "unknown key 'zone', expected one of timezone, currency"),
    ],
)
def test_a_wrong_reporting_value_is_told(folder: ProjectFolder, written: str, found: str) -> None:
    assert found in folder.message(f"reporting: {written}\n")


def test_reporting_values_are_normalised(folder: ProjectFolder) -> None:
    text = "reporting: {currency: eur, week_start: Sunday, fiscal_year_start: 4-1}\n"
    reporting = folder.load(text).reporting
    assert (reporting.currency, reporting.week_start) == ("EUR", "sunday")
    assert reporting.calendar.week_start == 6
    assert reporting.calendar.fiscal_start == (4, 1)


# --- warehouse ---------------------------------------------------------------------------------


def test_the_warehouse_may_be_a_path(folder: ProjectFolder, tmp_path: Path) -> None:
    assert folder.load("warehouse: data/w.duckdb\n").warehouse.path == tmp_path / "data/w.duckdb"
    absolute = tmp_path / "elsewhere.duckdb"
    assert folder.load(f"warehouse: {absolute}\n").warehouse.path == absolute


def test_the_warehouse_may_be_a_mapping(folder: ProjectFolder, tmp_path: Path) -> None:
    text = (
        "warehouse: {path: w.duckdb, memory_limit: 4GB, threads: 2, spill_directory: /tmp/spill,"
        " statement_timeout: 10m, lock_timeout: 0}\n"
    )
    warehouse = folder.load(text).warehouse
    assert warehouse.path == tmp_path / "w.duckdb"
    assert warehouse.spill_directory == Path("/tmp/spill")
    assert (warehouse.memory_limit, warehouse.threads) == ("4GB", 2)
    assert (warehouse.statement_timeout_s, warehouse.lock_timeout_s) == (600.0, 0.0)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("':memory:'", "warehouse: expected the path of a file"),
        ("data/", "warehouse: expected the path of a file"),
        ("''", "warehouse: expected a text that is not empty"),
        ("[a]", "warehouse: expected a mapping of keys to values, found a list"),
        ("{memory_limit: lots}", "expected an amount of memory such as 4GB or 80%, found 'lots'"),
        ("{memory_limit: 4}", "expected an amount of memory such as 4GB or 80%, found '4'"),
        ("{threads: 0}", "warehouse.threads: expected a value of at least 1, found '0'"),
        ("{threads: true}", "warehouse.threads: expected a number, found 'true'"),
        ("{threads: 1.5}", "warehouse.threads: expected a whole number, found '1.5'"),
        ("{statement_timeout: 0}", "expected a duration above zero, found '0'"),
        ("{statement_timeout: 5 parsecs}", "expected a duration such as 90 (seconds), 10m or 1h"),
        ("{lock_timeout: -1}", "expected a duration of zero or more, found '-1'"),
    ],
)
def test_a_wrong_warehouse_value_is_told(folder: ProjectFolder, written: str, found: str) -> None:
    assert found in folder.message(f"warehouse: {written}\n")


# --- jobs --------------------------------------------------------------------------------------


def test_a_job_of_kpis_alone_has_defaults(folder: ProjectFolder) -> None:
    job = folder.load("jobs: {j: {kpis: [a]}}\n").jobs["j"]
    assert (job.name, job.grain, job.schedule, job.by) == ("j", "month", None, ())
    assert (job.totals, job.compare, job.where, job.sinks) == (True, (), None, ())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[]", ()),
        ("[a]", (("a",),)),
        ("[a, b]", (("a", "b"),)),
        ("[[a], [b]]", (("a",), ("b",))),
        ("[[a, b], [c]]", (("a", "b"), ("c",))),
    ],
)
def test_names_are_one_grouping_and_lists_are_several(
    folder: ProjectFolder, written: str, expected: tuple[tuple[str, ...], ...]
) -> None:
    assert folder.load(f"jobs: {{j: {{kpis: [a], by: {written}}}}}\n").jobs["j"].by == expected


@pytest.mark.parametrize(
    ("written", "place", "found"),
    [
        ("{}", "1:8", "jobs.j: expected the key 'kpis' (KPI or KPI.variant), it is missing."),
        ("", "1:8", "jobs.j: expected the key 'kpis'"),
        ("5", "1:11", "jobs.j: expected a mapping of keys to values, found '5'."),
        ("{kpis: []}", "1:18", "jobs.j.kpis: expected at least one entry, found an empty list."),
        ("{kpis: }", "1:18", "jobs.j.kpis: expected at least one entry, found nothing."),
        ("{kpis: a}", "1:18", "expected a list, found 'a'. A list of one is written [value]."),
        ("{kpis: [a, '']}", "1:22", "jobs.j.kpis[1]: expected a text that is not empty"),
        ("{kpis: [a, [b]]}", "1:22", "jobs.j.kpis[1]: expected a text, found a list."),
        ("{kpis: [a, b, a]}", "1:18", "jobs.j.kpis: entries 1 and 3 of the list are the same."),
        ("{kpis: [a], by: [a, [b]]}", "1:27", "names and lists of names are mixed"),
        ("{kpis: [a], by: [[]]}", "1:28", "jobs.j.by[0]: expected at least one entry"),
        ("{kpis: [a], by: [[a, a]]}", "1:28", "entries 1 and 2 of the list are the same"),
        ("{kpis: [a], by: [{a: b}]}", "1:28", "expected a text or a list, found a mapping"),
        ("{kpis: [a], grain: weak}", "1:30", "found 'weak'. Did you mean 'week'?"),
        ("{kpis: [a], compare: [last]}", "1:33", "expected 'previous' or 'year_ago', found 'last'"),
        ("{kpis: [a], totals: some}", "1:31", "expected true or false, found 'some'"),
        ("{kpis: [a], where: ''}", "1:30", "expected a text that is not empty"),
        ("{kpis: [a], schedule: 0 8 * *}", "1:33", "expected five fields"),
        ("{kpis: [a], schedule: 0 25 * * *}", "1:33", "expected 0 to 23 as the hour, found '25'"),
        ("{kpis: [a], sink: [b]}", "1:23", "unknown key 'sink'"),
    ],
)
def test_a_wrong_job_is_told_at_its_place(
    folder: ProjectFolder, written: str, place: str, found: str
) -> None:
    message = folder.message(f"jobs: {{j: {written}}}\n")
    assert message.startswith(f"crmetrics.yaml:{place}: ")
    assert found in message


def test_the_sinks_of_a_job_are_those_of_the_file(folder: ProjectFolder) -> None:
    text = "sinks: {reports: {sink: files, path: r}}\njobs: {j: {kpis: [a], sinks: [report]}}\n"
    assert folder.message(text) == (
        "crmetrics.yaml:2:31: jobs.j.sinks[0]: expected one of the sinks reports, found 'report'. "
        "Did you mean 'reports'?"
    )
    message = folder.message("jobs: {j: {kpis: [a], sinks: [reports]}}\n")
    assert "expected a name defined under `sinks:`, found 'reports'" in message


def test_a_sink_with_an_error_of_its_own_still_counts_as_defined(folder: ProjectFolder) -> None:
    text = "sinks: {r: {sink: files}}\njobs: {j: {kpis: [a], sinks: [r]}}\n"
    assert "expected the key 'path'" in folder.message(text)


def test_every_error_of_one_job_is_told(folder: ProjectFolder) -> None:
    text = "jobs: {j: {kpis: [], grain: x, schedule: y, sinks: [z], compare: [w], totals: v}}\n"
    assert len(folder.messages(text)) == 6


# --- goals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(GOAL))
def test_a_goal_without_one_of_its_fields_is_refused(folder: ProjectFolder, key: str) -> None:
    message = folder.message(goals({key: None}))
    assert message.startswith(f"crmetrics.yaml:2:5: goals[0]: expected the key '{key}' (")


@pytest.mark.parametrize("key", ["title", "kpi", "objective", "owner", "rationale"])
def test_an_empty_text_is_no_field_of_a_goal(folder: ProjectFolder, key: str) -> None:
    assert f"goals[0].{key}: expected a text that is not empty" in folder.message(
        goals({key: "' '"})
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"due": "2026-01-01"}, "goals[0].due: expected a day after the start 2026-01-01"),
        ({"due": "2026-02-30"}, "expected a date such as 2026-01-31, found '2026-02-30'"),
        ({"start": "2026"}, "goals[0].start: expected a date such as 2026-01-31, found '2026'"),
        ({"start": "soon"}, "goals[0].start: expected a date such as 2026-01-31, found 'soon'"),
        ({"target": "40%"}, "Percent is written as a fraction"),
        ({"target": "nan"}, "goals[0].target: expected a number, found 'nan'"),
        ({"target": "inf"}, "goals[0].target: expected a number, found 'inf'"),
        ({"baseline": "true"}, "goals[0].baseline: expected a number, found 'true'"),
        ({"guardrails": "{}"}, "goals[0].guardrails: expected at least one entry"),
        ({"guardrails": "[csat]"}, "guardrails: expected a mapping of keys to values, found a li"),
        ({"guardrails": "{csat: {}}"}, "guardrails.csat: needs a limit: min, max or both."),
        ({"guardrails": "{csat: }"}, "guardrails.csat: needs a limit: min, max or both."),
        ({"guardrails": "{csat: {min: 2, max: 1}}"}, "guardrails.csat: min is above max."),
        ({"guardrails": "{csat: {mim: 2, max: 1}}"}, "Did you mean 'min'?"),
    ],
)
def test_a_wrong_goal_is_told(folder: ProjectFolder, change: dict[str, str], found: str) -> None:
    assert found in folder.message(goals(change))


def test_a_segment_limits_a_goal_to_one_group(folder: ProjectFolder) -> None:
    goal = folder.load(goals({"segment": "{owner.team: 007}"})).goals[0]
    assert goal.segment == {"owner.team": "007"}


def test_two_goals_of_one_title_are_refused_even_when_one_is_wrong(folder: ProjectFolder) -> None:
    messages = folder.messages(goals({}, {"owner": None}))
    assert any("goals[1].title: another goal has the same title" in it for it in messages)
    assert len(messages) == 2


def test_a_job_with_more_kpis_than_a_reader_takes_in_gets_a_hint(folder: ProjectFolder) -> None:
    many = ", ".join(f"kpi_{number}" for number in range(13))
    few = ", ".join(f"kpi_{number}" for number in range(12))
    config = folder.load(f"jobs:\n  few: {{kpis: [{few}]}}\n  many: {{kpis: [{many}]}}\n")
    (note,) = config.notes
    assert "jobs.many.kpis: 13 KPIs in one report" in str(note)
    assert note.line == 3


def test_a_target_that_equals_the_baseline_is_a_note_and_no_error(folder: ProjectFolder) -> None:
    config = folder.load(goals({"title": "a"}, {"title": "b", "target": "0.3"}))
    (note,) = config.notes
    assert "goals[1].target: equals the baseline" in str(note)
    assert note.line == 3
